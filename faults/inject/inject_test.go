//go:build faults && amd64

package inject

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/blackbox"
)

// A when says which of the calls fail.
type when struct {
	name         string
	first, every int
	wanted       int // how many failures the load goes on for
}

var whens = []when{
	{"first", 1, 0, 1},
	{"all for a while", 1, 1, 8},
	{"tenth", 10, 0, 1},
	{"every hundredth", 100, 100, 2},
}

// quick says that only a part is asked for: over TCP, the first error of each call that
// clients cause, and the first two of whens.
var quick = os.Getenv("INJECT") == "quick"

func init() {
	if quick {
		whens = whens[:2]
	}
}

const (
	workers = 4 // that make load at the same time, each beside a witness of its own
	// enough is how many rounds there are at most for a call to come. Rare calls are made
	// once or twice a round.
	enough = 160
	// enoughForRare is for calls that some setups never make.
	enoughForRare = 24
	// enoughForList is for calls to be seen at all.
	enoughForList = 48
)

// An outcome is a row of the table: what happened at each of whens, and in a drain.
type outcome struct {
	setup, call, errno string
	happened           []string
}

var table struct {
	sync.Mutex
	rows []outcome
}

func tells(o outcome) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, o)
}

// notMade is for a call that was not made, or not so often.
const notMade = "–"

// Every call fails with every error that it can return, while sessions, pages and
// refusals come and go. The table tells what a fault does to the session that made the call.
// No other session may notice a fault, and nothing may be left of it.
func TestCallsFail(t *testing.T) {
	for _, s := range setups {
		for _, c := range calls {
			for _, row := range c.errors {
				for _, errno := range row.errors {
					if !wanted(s, c, errno) {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s, %s", s.name, c.name, unix.ErrnoName(errno)), func(t *testing.T) {
						t.Parallel()
						testCall(t, s, c, errno, row.runs)
					})
				}
			}
		}
	}
}

// wanted says whether a fault is injected in a setup.
func wanted(s setup, c call, errno syscall.Errno) bool {
	return !quick || s.name == setups[0].name && !c.rare && c.errors[0].errors[0] == errno
}

func testCall(t *testing.T, s setup, c call, errno syscall.Errno, runs bool) {
	r := newRig(t, s)
	f := fault{Call: c.number, Errno: errno, Runs: runs, Operation: c.operation, Descriptor: c.descriptor}
	f.Spared = slices.Concat(r.spared, r.others(c))
	o := outcome{setup: s.name, call: c.name, errno: unix.ErrnoName(errno)}
	most := enough
	if c.rare {
		most = enoughForRare
	}
	for _, w := range whens {
		if w.every == 1 && isTransient(errno) {
			o.happened = append(o.happened, notMade)
			continue
		}
		f.First, f.Every = w.first, w.every
		before := r.results()
		tr := r.traces(f)
		injected, done := r.load(tr, w, most)
		r.isAsBefore()
		happened := notMade
		if injected > 0 {
			happened = r.results().since(before)
		}
		if injected == 0 && w.first <= 1 && !c.rare {
			t.Errorf("%s is not made in %d rounds", c.name, done)
		}
		o.happened = append(o.happened, happened)
	}
	f.Spared = slices.Concat(r.runtimes, r.others(c))
	o.happened = append(o.happened, r.drainsWith(f))
	tells(o)
}

// isTransient says whether an error tells the caller to call again at once. If all calls
// returned it, nothing could go on, and no kernel does that.
func isTransient(errno syscall.Errno) bool {
	return errno == unix.EINTR || errno == unix.EAGAIN || errno == unix.ECONNABORTED
}

// others returns the descriptors that a call is not about.
func (r *rig) others(c call) []uint64 {
	switch {
	case c.admin:
		return r.listeners[1:]
	case c.number == unix.SYS_EPOLL_CTL:
		return slices.Concat(r.polls, r.listeners[:1]) // the gates' members: see endings
	default:
		return r.listeners[:1]
	}
}

// load makes rounds of load until so many calls have failed as w wants, and then makes the
// tracer leave. It returns how many calls have failed, and how many rounds there were.
func (r *rig) load(tr *tracing, w when, most int) (injected, done int) {
	r.T.Helper()
	var next atomic.Int64
	var over atomic.Bool
	var running sync.WaitGroup
	errs := make(chan error, workers)
	for i := range workers {
		running.Go(func() {
			for !over.Load() {
				n := int(next.Add(1)) - 1
				if n >= most {
					return
				}
				r.round(n)
				if err := r.witnesses[i%witnesses].lives(); err != nil {
					errs <- fmt.Errorf("during the fault, witness %d: %w", i%witnesses, err)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	for reached := false; !reached; {
		select {
		case _, more := <-tr.failures:
			reached = !more || w.wanted > 0 && tr.failed.Load() >= int64(w.wanted)
		case <-ended:
			reached = true
		}
	}
	over.Store(true)
	r.wantsRest(tr) // a loop that spins does so while its calls fail
	r.wantsWitnesses()
	if w.wanted > 0 {
		injected, _ = tr.leaves()
	}
	<-ended // what hangs by the fault goes on now
	close(errs)
	for err := range errs {
		r.T.Error(err)
	}
	if r.T.Failed() {
		r.T.FailNow()
	}
	return injected, min(int(next.Load()), most)
}

// round is one of everything, over the proxy and on the admin side.
func (r *rig) round(n int) {
	r.client.round(n)
	if n%rounds == 0 && !r.HasEnded() {
		r.Signal(syscall.SIGHUP) // the TLS files are read again
	}
	r.scrapes("/metrics")
}

// scrapes asks the admin listener. Its calls may fail too: then the answer is empty.
func (r *rig) scrapes(path string) []byte {
	conn, err := r.admin.connect(r.T.Context())
	if err != nil {
		return nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(pushLimit))
	answer, _ := ask(conn, path) // without an answer it is empty
	return answer
}

// holds says whether the proxy holds bytes that a client has not taken.
func (r *rig) holds() bool {
	answer := r.scrapes("/metrics")
	gauge := []byte(blackbox.OfSide("holdfast_buffered_bytes", "client"))
	return bytes.Contains(answer, gauge) && !bytes.Contains(answer, append(gauge, " 0\n"...))
}

// isAsBefore wants everything to be as it was before the fault.
func (r *rig) isAsBefore() {
	r.T.Helper()
	r.Until("the admin listener answers", r.Lives)
	r.WantsMetric("holdfast_sessions_active", witnesses)
	r.wantsWitnesses()
	r.Until("its descriptors are those of the beginning", func() bool { return len(r.descriptors()) <= len(r.own) })
	r.wantsRest()
	r.AccountsForAll()
}

// drainsWith tells the process to end, with a fault on the way. A fault may keep a session
// from its close handshake. It does not keep the process from its end.
func (r *rig) drainsWith(f fault) (happened string) {
	r.T.Helper()
	f.First, f.Every = 1, 0
	tr := r.traces(f)
	r.Signal(syscall.SIGTERM)
	code := r.WantsEnd()
	injected, _ := tr.leaves()
	said := r.Stderr.String()
	if code > 1 || strings.Contains(said, "panic:") || !strings.Contains(said, "holdfast ends") {
		r.T.Errorf("it ends with code %d", code)
	}
	if injected > 0 {
		return fmt.Sprintf("exit code %d", code)
	}
	if code != 0 {
		r.T.Errorf("without a fault the drain ends with code %d, want 0", code)
	}
	return notMade
}

// results are the counters that say what became of sessions and handshakes.
type results map[string]float64

func (r *rig) results() results {
	r.T.Helper()
	found := results{}
	for line := range strings.Lines(string(r.Scrape().Text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		family, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
		var v float64
		if _, err := fmt.Sscan(value, &v); err != nil || v == 0 {
			continue
		}
		switch family {
		case "holdfast_sessions_dropped_total":
			found["dropped "+values(labels)] = v
		case "holdfast_handshakes_total":
			found["handshake "+values(labels)] = v
		case "holdfast_log_lines_lost_total":
			found["log lines lost"] = v
		}
	}
	return found
}

// values returns the values of labels, the side first.
func values(labels string) string {
	var all []string
	for _, label := range strings.Split(labels, ",") {
		_, value, _ := strings.Cut(label, "=")
		all = append(all, strings.Trim(value, `"`))
	}
	slices.Reverse(all)
	return strings.Join(all, " ")
}

// ordinary are the ends that the load itself brings about.
var ordinary = []string{"handshake ok", "handshake upstream_refused", "handshake bad_request",
	"dropped client reset", "dropped client eof", "dropped upstream reset", "dropped upstream eof"}

// since names what has happened that the load alone does not bring about.
func (now results) since(before results) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if n := now[name] - before[name]; n > 0 && !slices.Contains(ordinary, name) {
			all = append(all, fmt.Sprintf("%s: %.0f", name, n))
		}
	}
	if len(all) == 0 {
		return "nothing else"
	}
	return strings.Join(all, ", ")
}

// Some faults end the process, and must: it names the call, and ends with an error.
func TestFaultsThatEndTheProcess(t *testing.T) {
	for _, e := range endings {
		for _, errno := range e.errors {
			t.Run(fmt.Sprintf("%s, %s", e.call.name, unix.ErrnoName(errno)), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, setups[0])
				tr := r.traces(fault{Call: e.call.number, Errno: errno, First: 1,
					Operation: e.call.operation, Descriptor: e.call.descriptor, Spared: r.spared})
				for began := time.Now(); !r.HasEnded() && time.Since(began) < patience; {
					for _, w := range r.witnesses {
						_ = w.lives() // it ends with the process
					}
				}
				tr.leaves()
				if code := r.WantsEnd(); code == 0 || !strings.Contains(r.Stderr.String(), e.says) {
					t.Errorf("it ends with code %d, want an error that names %s", code, e.says)
				}
				tells(outcome{setups[0].name, e.call.name, unix.ErrnoName(errno), append([]string{"the process ends: " + e.why}, slices.Repeat([]string{notMade}, len(whens))...)})
			})
		}
	}
}

// No call is made that is neither failed nor left out with a reason.
func TestEveryCallIsListed(t *testing.T) {
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, s)
			tr := r.traces(fault{Call: none, First: 1})
			_, done := r.load(tr, when{}, enoughForList)
			r.Signal(syscall.SIGTERM)
			r.WantsEnd()
			_, counts := tr.leaves()
			var all []string
			for number, n := range counts {
				all = append(all, fmt.Sprintf("%d × call %d (%s)", n, number, nameOf(number)))
				if nameOf(number) == "" {
					t.Errorf("call %d is made %d times, and is not listed", number, n)
				}
			}
			slices.Sort(all)
			t.Logf("%d rounds:\n%s", done, strings.Join(all, "\n"))
		})
	}
}

// nameOf returns the name of a call that is listed.
func nameOf(number int) string {
	for _, c := range calls {
		if c.number == number {
			return strings.Fields(c.name)[0]
		}
	}
	for _, e := range endings {
		if e.call.number == number {
			return e.call.name
		}
	}
	return excluded[number]
}

// printTable prints what happened beside the ends that the load brings about.
func printTable() {
	table.Lock()
	defer table.Unlock()
	slices.SortStableFunc(table.rows, func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.setup, b.setup), cmp.Compare(a.call, b.call), cmp.Compare(a.errno, b.errno))
	})
	fmt.Print("\n| over | call | error |")
	for _, w := range whens {
		fmt.Printf(" %s |", w.name)
	}
	fmt.Print(" first of a drain |\n" + strings.Repeat("|---", len(whens)+4) + "|\n")
	for _, o := range table.rows {
		fmt.Printf("| %s | `%s` | %s | %s |\n", o.setup, o.call, o.errno, strings.Join(o.happened, " | "))
	}
}
