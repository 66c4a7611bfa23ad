package certs

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// interval is that of the tests' Watch, in a synctest bubble's time.
const interval = time.Minute

// report is what Watch has told.
type report struct {
	changed bool
	err     error
}

// watcher is a Watch that runs, in a bubble.
type watcher struct {
	t       *testing.T
	server  *Server
	reports chan report // that no want has asked for yet
}

// watch begins half an interval before a tick, so that it is clear what comes first.
func watch(t *testing.T, server *Server) *watcher {
	t.Helper()
	w := &watcher{t, server, make(chan report, 8)}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go server.Watch(ctx, interval, func(changed bool, err error) {
		w.reports <- report{changed, err}
	})
	time.Sleep(interval / 2)
	synctest.Wait()
	return w
}

func tick() {
	time.Sleep(interval)
	synctest.Wait()
}

func (w *watcher) kick() {
	w.server.Kick()
	synctest.Wait()
}

func (w *watcher) wantsNothing(why string) {
	w.t.Helper()
	if len(w.reports) > 0 {
		w.t.Fatalf("reported %+v, want nothing: %s", <-w.reports, why)
	}
}

// wants takes the one report there is: of a change, or of an error that says so
// much, or that all is as it was.
func (w *watcher) wants(changed bool, says, why string) {
	w.t.Helper()
	if len(w.reports) != 1 {
		w.t.Fatalf("%d reports, want one: %s", len(w.reports), why)
	}
	got, text := <-w.reports, ""
	if got.err != nil {
		text = got.err.Error()
	}
	if got.changed != changed || (says == "") != (text == "") || !strings.Contains(text, says) {
		w.t.Fatalf("reported %t, %q, want %t and %q: %s", got.changed, text, changed, says, why)
	}
}

func TestWatchReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, "root")
		first, second := root.leaf(t), root.leaf(t)
		dir := newFolder(t)
		dir.writePair(first)
		w := watch(t, newServer(t, dir.pair()))
		tick()
		w.wantsNothing("nothing has changed")

		dir.write("tls.crt", second.certPEM())
		w.wantsNothing("it looks only once an interval")
		tick()
		w.wants(false, "does not match", "only half of the pair is there")
		tick()
		w.wantsNothing("the error is the same")
		if err := os.Remove(dir.path("tls.key")); err != nil {
			t.Fatal(err)
		}
		tick()
		w.wants(false, "does not exist", "the error is another")
		dir.write("tls.key", second.keyPEM(t))
		tick()
		w.wants(true, "", "the pair is complete")
		tick()
		w.wantsNothing("nothing has changed since")

		dir.write("tls.key", first.keyPEM(t))
		tick()
		w.wants(false, "does not match", "an error comes again")
		dir.write("tls.key", second.keyPEM(t))
		tick()
		w.wants(false, "", "the error is gone, and the files are as they were")
		tick()
		w.wantsNothing("that has been said")
	})
}

func TestKickIsAlwaysAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newFolder(t)
		dir.writePair(newRoot(t, "root").leaf(t))
		server := newServer(t, dir.pair())
		server.Kick()
		server.Kick()
		w := watch(t, server)
		w.wants(false, "", "two kicks while nobody watched are one, and it is answered though nothing has changed")
		dir.write("tls.key", "no key")
		for range 2 {
			w.kick()
			w.wants(false, "is not a PEM file", "a kick is answered even with the error of before")
		}
		dir.writePair(newRoot(t, "root").leaf(t))
		w.kick()
		w.wants(true, "", "after a kick the files are read at once")
		tick()
		w.wantsNothing("nothing has changed since")
	})
}
