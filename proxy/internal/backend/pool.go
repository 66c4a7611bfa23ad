package backend

import "holdfast/proxy/internal/upgrade"

// A Pool is the backends that requests can go to. It has one.
type Pool struct{ only *Backend }

// NewPool makes a pool of one backend.
func NewPool(only *Backend) *Pool { return &Pool{only} }

// Pick returns the backend that a request goes to.
func (p *Pool) Pick(*upgrade.Request) *Backend { return p.only }

// Up reports whether a request that comes now has a backend that works: one that
// has accepted its last connection, or has not been tried.
func (p *Pool) Up() bool { return p.only.Up() }
