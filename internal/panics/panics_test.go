package panics

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// kept is a Book with what it has recorded.
type kept struct {
	*Book
	log   bytes.Buffer
	count int
}

func newKept() *kept {
	k := new(kept)
	k.Book = New(slog.New(slog.NewTextHandler(&k.log, nil)), func() { k.count++ })
	return k
}

func (k *kept) wants(t *testing.T, count, lines int) {
	t.Helper()
	if got := strings.Count(k.log.String(), "msg=panic"); k.count != count || got != lines {
		t.Errorf("%d panics are counted and %d logged, want %d and %d:\n%s", k.count, got, count, lines, &k.log)
	}
}

func breaks() { panic("it broke") }

func breaksMap() { noMap()["x"]++ }

func noMap() map[string]int { return nil }

func breaksPointer() {
	var b *Book
	b.count()
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		job   func()
		value string
		place string
	}{
		{breaks, "it broke", "panics.breaks (panics_test.go:"},
		{breaksMap, "assignment to entry in nil map", "panics.breaksMap (panics_test.go:"},
		{breaksPointer, "nil pointer dereference", "panics.breaksPointer (panics_test.go:"},
		{func() { panic(errors.New("an error")) }, "an error", "panics.TestPlaces.func"},
		{func() { defer breaks(); panic("the first") }, "it broke", "panics.breaks (panics_test.go:"},
		{func() { panic(strings.Repeat("x", 2*longest)) }, strings.Repeat("x", longest) + "…", "panics.TestPlaces.func"},
	} {
		k := newKept()
		err := k.Guard(c.job)
		if !errors.Is(err, ErrCaught) || !strings.Contains(err.Error(), c.value) || !strings.Contains(err.Error(), c.place) {
			t.Errorf("%s: the error is %v", c.place, err)
		}
		k.wants(t, 1, 1)
		if !strings.Contains(k.log.String(), c.place) || !strings.Contains(k.log.String(), "stack=") {
			t.Errorf("%s: the log says %s", c.place, &k.log)
		}
	}
}

func TestOnePlaceIsLoggedOnce(t *testing.T) {
	k := newKept()
	for i := range 100 {
		_ = k.Guard(func() { panic(fmt.Sprint("of many: ", i)) })
	}
	_ = k.Guard(breaks)
	k.wants(t, 101, 2)
}

func TestNoPanic(t *testing.T) {
	k, done := newKept(), false
	if err := k.Guard(func() { done = true }); err != nil || !done {
		t.Errorf("done is %v, the error is %v", done, err)
	}
	k.wants(t, 0, 0)
}

// A stack that cannot be read still leaves a record.
func TestUnknownPlace(t *testing.T) {
	k := newKept()
	if got := k.Caught("x", []byte("goroutine 1 [running]:\n")); got != "panic: x, at "+unknown {
		t.Errorf("the summary is %q", got)
	}
	k.wants(t, 1, 1)
}

// A log that panics does not lose the panic that it is told of.
func TestLogPanics(t *testing.T) {
	k := newKept()
	k.count, k.Book.count = 0, func() { panic("of the counter") }
	if err := k.Guard(breaks); !strings.Contains(err.Error(), "it broke") {
		t.Errorf("the error is %v", err)
	}
}

// The lines of this version of net/http are understood.
func TestServerThatPanics(t *testing.T) {
	k := newKept()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		breaks()
	}))
	server.Config.ErrorLog = k.ErrorLog(slog.LevelInfo)
	gone := make(chan bool, 16) // a connection that is closed has been logged
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			gone <- true
		}
	}
	server.Start()
	defer server.Close()
	for _, path := range []string{"/", "/", "/abort"} {
		request, err := http.NewRequest(http.MethodPost, server.URL+path, nil) // it is not tried again
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := server.Client().Do(request); err == nil {
			answer.Body.Close()
			t.Errorf("%s is answered with %s", path, answer.Status)
		}
		<-gone
	}
	k.wants(t, 2, 1)
	if want := "panics.breaks (panics_test.go:"; !strings.Contains(k.log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &k.log)
	}
	k.ErrorLog(slog.LevelInfo).Print("http: something else")
	if want := `level=INFO msg="http: something else"`; !strings.Contains(k.log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &k.log)
	}
}
