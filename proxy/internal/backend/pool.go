package backend

import "holdfast/proxy/internal/upgrade"

// A Pool holds the backends that requests can go to. At present it has one.
type Pool struct{ only *Backend }

// NewPool returns a pool of one backend.
func NewPool(only *Backend) *Pool { return &Pool{only} }

// Pick returns the backend that a request goes to.
func (p *Pool) Pick(*upgrade.Request) *Backend { return p.only }

// Up reports whether a request that comes now has a backend that is up.
func (p *Pool) Up() bool { return p.only.Up() }

// Watch begins to check the backends.
func (p *Pool) Watch() { p.only.Watch() }
