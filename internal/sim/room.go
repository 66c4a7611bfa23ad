package main

import (
	"sync"

	"holdfast/proxy"
)

// A room is memory that a world works with and leaves to the next one.
type room struct {
	read    [chunk]byte
	cipher  [64 << 10]byte
	plain   []byte
	payload []byte
	frame   []byte
	spare   [][]byte // for what peers send
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// states is how many there are in proxy.States.
var states = len(proxy.States())

// bytes takes an empty slice out of the room.
func (r *room) bytes() []byte {
	n := len(r.spare)
	if n == 0 {
		return nil
	}
	b := r.spare[n-1]
	r.spare = r.spare[:n-1]
	return b
}

// keptMost is the longest slice that is kept.
const keptMost = 4 << 20

// keeps puts a slice into the room, unless it is so long that few worlds need it.
func (r *room) keeps(b []byte) {
	if 0 < cap(b) && cap(b) <= keptMost {
		r.spare = append(r.spare, b[:0])
	}
}

// returns leaves the world's memory to the next one. The world is over.
func (w *World) returns() {
	for j := range w.jobs {
		j.stop()
	}
	for _, t := range w.talks {
		for _, p := range []*peer{t.client, t.service} {
			w.room.keeps(p.sent)
			w.room.keeps(p.out.b)
			p.sent, p.out = nil, queue{}
		}
	}
	rooms.Put(w.room)
	w.room = nil
}

// A queue is bytes that wait.
type queue struct {
	b    []byte
	from int
}

func (q *queue) len() int      { return len(q.b) - q.from }
func (q *queue) bytes() []byte { return q.b[q.from:] }
func (q *queue) add(b []byte)  { q.b = append(q.b, b...) }

func (q *queue) drop(n int) {
	if q.from += n; q.from == len(q.b) {
		q.b, q.from = q.b[:0], 0
	}
}
