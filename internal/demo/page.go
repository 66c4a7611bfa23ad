package demo

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"holdfast/internal/hostport"
	design "holdfast/internal/page"
	"holdfast/proxy"
)

// preferredPage is the address of the live page if that port is free.
const preferredPage = "127.0.0.1:8080"

// maxActors is how many clients the service may have, ghosts included, for a button to
// add one.
const maxActors = 20

//go:embed page.html page.css page.js
var pageFiles embed.FS

// page is the live page. It shows what happens on a stage, and lets visitors add clients.
// The visitor's own WebSocket goes through the middlebox to Holdfast, and not to the page.
type page struct {
	stage    *stage
	ctx      context.Context // of the clients that buttons start
	cancel   context.CancelFunc
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	acting   sync.WaitGroup

	mu     sync.Mutex
	isOpen bool // visitors may take part: the story is over, and the page is not closed
	actors int  // clients that buttons have started
}

func startPage(ctx context.Context, s *stage, preferred string) (*page, error) {
	listener, err := net.Listen("tcp", preferred)
	if err != nil {
		listener, err = net.Listen("tcp", anyPort)
	}
	if err != nil {
		return nil, fmt.Errorf("the live page: %w", err)
	}
	p := &page{stage: s, listener: listener}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.server = &http.Server{
		Handler:        p.handler(),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   5 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       log.New(journalWriter{s.journal}, "", 0),
	}
	p.serving.Go(p.serve)
	return p, nil
}

// journalWriter writes the errors that net/http logs to the journal.
type journalWriter struct{ journal *journal }

func (w journalWriter) Write(line []byte) (int, error) {
	w.journal.remark("page", "%+q", line)
	return len(line), nil
}

func (p *page) serve() {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		p.stage.fail(fmt.Errorf("the live page: %w", err))
	}
}

func (p *page) url() string { return "http://" + p.listener.Addr().String() + "/" }

// open sets whether visitors may take part.
func (p *page) open(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isOpen = yes
}

// close ends the page and the clients that its buttons started, and waits for both.
func (p *page) close() {
	p.open(false)
	p.cancel()
	p.server.Close()
	p.serving.Wait()
	p.acting.Wait()
}

func (p *page) takesPart() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isOpen
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", file("page.html"))
	mux.Handle("GET /page.css", file("page.css"))
	mux.Handle("GET /page.js", file("page.js"))
	mux.Handle("GET /assets/", design.Assets())
	mux.HandleFunc("GET /state", p.serveState)
	mux.Handle("POST /freeze", p.action("frozen", p.freeze))
	mux.Handle("POST /idle", p.action("idle", p.idle))
	mux.HandleFunc("POST /cut", p.cutVisitor)
	return p.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses requests whose Host is not this machine. The owner of a web page can let
// a name resolve to loopback. Without guard, that page could read the answers.
func (p *page) guard(next http.Handler) http.Handler {
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
		"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
		"connect-src 'self' ws://" + p.stage.through
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			http.Error(w, "this page is for "+p.url(), http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header means this machine and nothing else.
func loopback(host string) bool {
	at, ok := hostport.Split(host)
	addr, err := netip.ParseAddr(at.Host)
	return ok && (at.Host == "localhost" || err == nil && addr.IsLoopback())
}

func file(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, name)
	})
}

// state is what the page shows.
type state struct {
	Run      string   `json:"run"`    // another one after each start of the demo
	Status   string   `json:"status"` // the address of the status page
	Open     bool     `json:"open"`   // visitors may take part
	Socket   string   `json:"socket"` // where a visitor's WebSocket goes
	Limit    float64  `json:"limit"`  // the middlebox's limit, seconds
	Interval float64  `json:"interval"`
	Timeout  float64  `json:"timeout"`
	Beat     string   `json:"beat"`  // the text of a heartbeat
	Bound    float64  `json:"bound"` // a silence after a heartbeat that means the end of the path, seconds
	Counters counters `json:"counters"`
	Visits   []guest  `json:"visits"`
	Events   []event  `json:"events"` // the events after the last one that the page has
}

// guest is a visit as the page shows it.
type guest struct {
	Name    string  `json:"name"`
	Through bool    `json:"through"` // through Holdfast
	Age     float64 `json:"age"`     // seconds
	Silent  float64 `json:"silent"`  // seconds
	Ghost   bool    `json:"ghost"`
}

func (p *page) serveState(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		http.Error(w, "after must be the number of an event", http.StatusBadRequest)
		return
	}
	s, err := p.state(after)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// An error means that the browser has left, so it cannot be reported to the browser.
	_ = json.NewEncoder(w).Encode(s)
}

func (p *page) state(after int) (state, error) {
	c, err := readCounters(p.stage.metrics)
	if err != nil {
		return state{}, err
	}
	t := p.stage.times
	s := state{
		Run:      strconv.FormatInt(p.stage.journal.start.UnixNano(), 36),
		Status:   p.stage.statusPage,
		Open:     p.takesPart(),
		Socket:   "ws://" + p.stage.through + "/",
		Limit:    t.limit.Seconds(),
		Interval: t.interval.Seconds(),
		Timeout:  t.timeout.Seconds(),
		Beat:     beatText,
		Bound:    t.bound.Seconds(),
		Counters: c,
		Visits:   []guest{},
	}
	for _, v := range p.stage.service.present() {
		s.Visits = append(s.Visits, guest{
			Name:    v.name,
			Through: v.through,
			Age:     v.age().Seconds(),
			Silent:  v.silent().Seconds(),
			Ghost:   p.stage.isLost(v.name),
		})
	}
	s.Events, _ = p.stage.journal.after(after)
	return s, nil
}

// action starts a client that runs play. The client's name is kind and a number.
func (p *page) action(kind string, play func(ctx context.Context, name string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if len(p.stage.service.present()) >= maxActors {
			http.Error(w, "the stage is full of ghosts", http.StatusTooManyRequests)
			return
		}
		if !p.start(kind, play) {
			http.Error(w, "the story is not over yet", http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

func (p *page) start(kind string, play func(ctx context.Context, name string) error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isOpen {
		return false
	}
	p.actors++
	name := fmt.Sprintf("%s-%d", kind, p.actors)
	p.acting.Go(func() {
		if err := play(p.ctx, name); err != nil && p.ctx.Err() == nil {
			p.stage.journal.remark(name, "%+q", err.Error())
		}
	})
	return true
}

// cutVisitor lets the middlebox cut the connection of a visitor.
func (p *page) cutVisitor(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("visitor")
	list, err := p.stage.proxy.SessionList(r.Context(), proxy.SessionQuery{
		Order: proxy.ByAge, Filter: "/" + name, Limit: maxActors,
	})
	if err != nil {
		return // the browser has left
	}
	for _, session := range list.Sessions {
		// Holdfast's client is the middlebox.
		if nameOf(session.Path) == name && p.stage.cutOff(name, net.TCPAddrFromAddrPort(session.Client)) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
	}
	http.Error(w, "no visitor of this name has a path to cut", http.StatusNotFound)
}

func (p *page) freeze(ctx context.Context, name string) error {
	_, err := p.stage.freeze(ctx, name)
	return err
}

// idle does what client A does in the story.
func (p *page) idle(ctx context.Context, name string) error {
	s := p.stage
	c, err := s.enter(ctx, name, s.straight, "connected straight to the service")
	if err != nil {
		return err
	}
	defer s.hangUp(c)
	if _, err := s.await(ctx, cut, name); err != nil {
		return err
	}
	if _, err := s.speak(ctx, c, s.times.hope); err != nil {
		return err
	}
	s.giveUp(c)
	return nil
}
