package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// imports holds every package of the module and what it may import beyond the
// standard library. The edges run one way, from above to below: main, the commands,
// what they run, what that is made of, the proxy, and what knows no proxy. Tests may
// import what they like.
var imports = map[string][]string{
	".": {"holdfast/internal/command"},
	"internal/command": {
		"holdfast/internal/daemon", "holdfast/internal/demo", "holdfast/internal/probe",
		"holdfast/internal/activation", "holdfast/internal/config", "holdfast/internal/linelog", "holdfast/internal/notify", "holdfast/internal/shown",
		"holdfast/heartbeat", "holdfast/proxy",
	},
	"internal/daemon": {"holdfast/internal/admin", "holdfast/internal/config", "holdfast/internal/notify", "holdfast/internal/status", "holdfast/proxy", "holdfast/metrics", "holdfast/internal/panics"},
	"internal/demo": {
		"holdfast/internal/admin", "holdfast/internal/hostport", "holdfast/internal/page", "holdfast/internal/status", "holdfast/heartbeat", "holdfast/metrics", "holdfast/proxy",
		"github.com/gobwas/ws", "github.com/gobwas/ws/wsutil", "github.com/prometheus/client_model/go",
	},
	"internal/probe":      {"holdfast/proxy", "github.com/gobwas/ws"},
	"internal/activation": {"holdfast/internal/shown"},
	"internal/admin":      {"holdfast/internal/hostport", "holdfast/internal/page", "holdfast/internal/status", "holdfast/proxy", "golang.org/x/sys/unix"},
	"internal/page":       {"holdfast/internal/status", "holdfast/proxy"},
	"internal/status":     {"holdfast/proxy", "holdfast/metrics"},
	"internal/config": {
		"holdfast/internal/certs", "holdfast/internal/hostport", "holdfast/internal/shown", "holdfast/proxy", "holdfast/heartbeat", "holdfast/metrics",
		"github.com/caarlos0/env/v10",
	},
	"internal/linelog": {},
	"internal/notify":  {"golang.org/x/sys/unix"},
	"internal/certs":   {"holdfast/internal/shown"},
	"internal/shown":   {},
	// For tests.
	"internal/blackbox": {"holdfast/internal/fixture"},
	"internal/fixture":  {"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors", "golang.org/x/sys/unix"},
	"internal/leak":     {},
	"internal/race":     {},
	"internal/wire":     {"github.com/gobwas/ws"},
	"proxy": {
		"holdfast/heartbeat", "holdfast/metrics", "holdfast/internal/panics",
		"holdfast/proxy/internal/backend", "holdfast/proxy/internal/epoll", "holdfast/proxy/internal/field", "holdfast/proxy/internal/forwarded", "holdfast/proxy/internal/frame",
		"holdfast/proxy/internal/message", "holdfast/proxy/internal/origins", "holdfast/proxy/internal/peraddress", "holdfast/proxy/internal/preface", "holdfast/proxy/internal/ration",
		"holdfast/proxy/internal/secure", "holdfast/proxy/internal/socket", "holdfast/proxy/internal/upgrade", "holdfast/proxy/internal/web",
		"github.com/gobwas/ws", "golang.org/x/sys/unix",
	},
	"proxy/internal/backend": {
		"holdfast/heartbeat", "holdfast/metrics", "holdfast/internal/panics",
		"holdfast/proxy/internal/field", "holdfast/proxy/internal/peraddress", "holdfast/proxy/internal/secure", "holdfast/proxy/internal/socket", "holdfast/proxy/internal/upgrade",
		"golang.org/x/sys/unix",
	},
	"proxy/internal/epoll":      {"golang.org/x/sys/unix"},
	"proxy/internal/field":      {"holdfast/internal/ascii"},
	"proxy/internal/forwarded":  {"holdfast/internal/ascii", "holdfast/internal/hostport", "holdfast/proxy/internal/field"},
	"proxy/internal/frame":      {"github.com/gobwas/ws"},
	"proxy/internal/message":    {"holdfast/internal/shown"},
	"proxy/internal/origins":    {"holdfast/internal/hostport"},
	"proxy/internal/peraddress": {},
	"proxy/internal/ration":     {"holdfast/heartbeat"},
	"proxy/internal/preface":    {"github.com/pires/go-proxyproto"},
	"proxy/internal/secure":     {"holdfast/proxy/internal/socket", "golang.org/x/sys/unix"},
	"proxy/internal/socket":     {"golang.org/x/sys/unix"},
	"proxy/internal/upgrade":    {"holdfast/internal/ascii", "holdfast/internal/hostport", "holdfast/proxy/internal/field"},
	"proxy/internal/web": {
		"holdfast/proxy/internal/field", "holdfast/proxy/internal/forwarded", "holdfast/proxy/internal/ration", "holdfast/proxy/internal/upgrade",
		"golang.org/x/sys/unix",
	},
	"heartbeat": {},
	"metrics": {
		"github.com/prometheus/client_golang/prometheus",
		"github.com/prometheus/client_golang/prometheus/collectors",
		"github.com/prometheus/client_golang/prometheus/promhttp",
		"github.com/prometheus/client_model/go",
	},
	"internal/panics":   {},
	"internal/hostport": {"holdfast/internal/ascii"},
	"internal/ascii":    {},

	// The simulation, what stands in for Linux there, and what tries it out.
	"internal/sim":        {"holdfast/internal/sim/kernel", "holdfast/heartbeat", "holdfast/metrics", "holdfast/proxy", "github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors", "golang.org/x/sys/unix"},
	"internal/sim/kernel": {"holdfast/proxy", "golang.org/x/sys/unix"},
	"internal/sim/mutate": {},

	// It measures the proxy from outside, as any other.
	"bench":         {"github.com/gobwas/ws", "golang.org/x/sys/unix"},
	"e2e":           {},
	"faults":        {},
	"faults/inject": {},

	// What is packed with the binary, and what stands behind it in an example.
	"deploy/package/manual": {"holdfast/internal/command", "holdfast/internal/config"},
	"deploy/compose/echo":   {"github.com/gobwas/ws", "github.com/gobwas/ws/wsutil"},

	// They hold tests alone.
	"deploy/grafana":    {},
	"deploy/prometheus": {},
}

// clock are the functions that ask the time or wait for it to pass.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// ban is of functions that may not be called.
type ban struct {
	pkg    string // the import path of
	names  []string
	why    string
	holds  func(file string) bool
	except map[string]string // files where it may be, and why
}

var bans = []ban{{
	pkg:   "time",
	names: clock,
	why:   "time is an argument",
	holds: func(file string) bool {
		switch path.Dir(file) {
		case "heartbeat", "proxy/internal/frame", "proxy/internal/message", "proxy/internal/upgrade":
			return true // their tests too: they invent the time
		case "metrics", "proxy", "proxy/internal/backend", "proxy/internal/epoll", "internal/sim", "internal/sim/kernel":
			return !isTest(file)
		default:
			return false
		}
	},
	except: map[string]string{
		"proxy/world_linux.go": "makes the clock that the loops ask, once a turn",
		"proxy/trim.go":        "gives memory back beside the loops",
		"metrics/metrics.go":   "says since when the counters count",
	},
}, {
	pkg:    "os",
	names:  []string{"Getenv", "LookupEnv", "Environ"},
	why:    "the environment is read in one place",
	holds:  isProduct,
	except: map[string]string{"main.go": "is that place"},
}, {
	pkg:   "os",
	names: []string{"Exit"},
	why:   "only main ends the process",
	holds: isProduct,
	except: map[string]string{
		"main.go":                       "is main",
		"internal/sim/main.go":          "is the main of the simulation",
		"internal/sim/mutate/main.go":   "is the main of the mutants",
		"deploy/package/manual/main.go": "is a main",
	},
}, {
	pkg:   "log/slog",
	names: []string{"Debug", "Info", "Warn", "Error", "Log", "Default", "SetDefault"},
	why:   "a logger is handed in, never global",
	holds: isProduct,
}}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

func isProduct(file string) bool { return !isTest(file) && path.Dir(file) != "bench" }

// source is one file, parsed.
type source struct {
	name string // relative to the module, with slashes
	set  *token.FileSet
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// parsed reads the module once for all tests.
var parsed = sync.OnceValues(func() (all []source, err error) {
	err = filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (isNoPackage(entry.Name()) || exists(filepath.Join(name, "go.mod"))):
			return filepath.SkipDir // of another module, too
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		all = append(all, source{filepath.ToSlash(name), set, file})
		return err
	})
	return all, err
})

func isNoPackage(dir string) bool {
	return strings.HasPrefix(dir, ".") || dir == "testdata" || dir == "node_modules" || dir == "tools"
}

// The root is a front door: the program's code stands in folders.
func TestRootHoldsNoOtherCode(t *testing.T) {
	allowed := []string{"main.go", "architecture_test.go", "readme_test.go"}
	for _, s := range sources(t) {
		if path.Dir(s.name) == "." && !slices.Contains(allowed, s.name) {
			t.Errorf("%s belongs in a package under internal", s.name)
		}
	}
}

func TestImportsRunOneWay(t *testing.T) {
	for _, s := range sources(t) {
		allowed, known := imports[path.Dir(s.name)]
		if !known {
			t.Errorf("%s: the package has no line in imports", s.name)
		}
		if isTest(s.name) {
			continue
		}
		for _, spec := range s.file.Imports {
			imported := pathOf(spec)
			if !isStandard(imported) && !slices.Contains(allowed, imported) {
				t.Errorf("%s may not import %s", s.set.Position(spec.Pos()), imported)
			}
		}
	}
}

func TestBannedCalls(t *testing.T) {
	all := sources(t)
	for _, b := range bans {
		for _, s := range all {
			if _, excepted := b.except[s.name]; b.holds(s.name) && !excepted {
				b.check(t, s)
			}
		}
		for name := range b.except {
			if !slices.ContainsFunc(all, func(s source) bool { return s.name == name && len(b.uses(s)) > 0 }) {
				t.Errorf("%s is excepted from %q without need", name, b.why)
			}
		}
	}
}

// Masks, the payloads of pings and the proxy's name in CDN-Loop come from crypto/rand: the
// product imports no other source of random numbers, and the loops of a server get that one.
func TestRandomBytesCannotBePredicted(t *testing.T) {
	for _, s := range sources(t) {
		if !isProduct(s.name) || strings.HasPrefix(s.name, "internal/sim/") {
			continue
		}
		for _, other := range []string{"math/rand", "math/rand/v2"} {
			if s.nameOf(other) != "" {
				t.Errorf("%s imports %s", s.name, other)
			}
		}
		if s.name == "proxy/server.go" {
			reader := ban{pkg: "crypto/rand", names: []string{"Reader"}}
			if len(reader.uses(s)) != 1 {
				t.Errorf("%s does not give crypto/rand's Reader to its loops", s.name)
			}
		}
	}
}

// Jobs beside the loops are started in few places, so that a test and a simulation
// can decide when they run: see world in proxy/seams.go.
func TestGoroutinesStartInFewPlaces(t *testing.T) {
	allowed := map[string]bool{
		"proxy/server.go":      true, // runs the loops
		"proxy/world_linux.go": true, // is what starts them for the others
		"proxy/shutdown.go":    true, // waits for pages beside the loops
	}
	for _, s := range sources(t) {
		switch path.Dir(s.name) {
		case "heartbeat", "metrics", "proxy", "proxy/internal/backend", "proxy/internal/frame", "proxy/internal/upgrade":
		default:
			continue
		}
		if isTest(s.name) {
			continue
		}
		starts := false
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				starts = true
			case *ast.SelectorExpr: // sync.WaitGroup's
				starts = starts || n.Sel.Name == "Go"
			}
			return true
		})
		switch may := allowed[s.name]; {
		case starts && !may:
			t.Errorf("%s starts a goroutine: give the job to beside", s.name)
		case may && !starts:
			t.Errorf("%s may start goroutines, and starts none", s.name)
		}
	}
}

func (b ban) check(t *testing.T, s source) {
	t.Helper()
	for _, use := range b.uses(s) {
		t.Errorf("%s: %s.%s: %s", s.set.Position(use.Pos()), b.pkg, use.Sel.Name, b.why)
	}
}

// uses are the mentions of what is banned: to pass time.Now on is to call it.
func (b ban) uses(s source) (uses []*ast.SelectorExpr) {
	name := s.nameOf(b.pkg)
	if name == "" {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == name && slices.Contains(b.names, selector.Sel.Name) {
			uses = append(uses, selector)
		}
		return true
	})
	return uses
}

// nameOf is what the file calls a package, "" if it does not import it.
func (s source) nameOf(pkg string) string {
	for _, spec := range s.file.Imports {
		if pathOf(spec) != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

func pathOf(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser has let it pass
	}
	return p
}

// isStandard: the paths of other modules begin with a host name, those of this
// one with its own.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != "holdfast" && !strings.Contains(first, ".")
}
