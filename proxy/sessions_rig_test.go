package proxy_test

import (
	"testing"

	"holdfast/internal/wire"
	"holdfast/proxy"
)

// The loops that run answer operators: the sessions of all loops are listed, and the one
// that is named ends.
func TestLoopsAnswerOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *proxy.Config) { c.Loops = 2 })
	client, upstream := r.opens()
	other, _ := r.opens()
	list, err := r.server.SessionList(t.Context(), proxy.SessionQuery{Order: proxy.ByAge, Limit: 9})
	if err != nil || list.Total != 2 || len(list.Sessions) != 2 {
		t.Fatalf("the list is %+v, %v", list, err)
	}
	if _, found, err := r.server.CloseSession(t.Context(), list.Sessions[0].ID); !found || err != nil {
		t.Fatalf("the oldest session is found: %v, %v", found, err)
	}
	client.wants("an operator has asked", wire.Close(1012, "closed by operator"))
	upstream.wants("an operator has asked", wire.Close(1001, "closed by operator"))
	client.sends(wire.Close(1012, ""))
	upstream.sends(wire.Close(1001, ""))
	client.hangsUp()
	upstream.hangsUp()
	other.sends(wire.Ping("still there?"))
	other.wants("its session goes on", wire.Pong("still there?"))
	r.eventually("one session is left", func() bool { return r.server.Sessions() == 1 })
	r.hangUp()
	if was, found, err := r.server.CloseSession(t.Context(), list.Sessions[0].ID); found || err != nil {
		t.Errorf("the session has ended, and is found: %+v, %v", was, err)
	}
}
