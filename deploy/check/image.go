package check

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// An image is what a Dockerfile makes, carried out by hand: a folder for the files of the
// last stage, and what its other instructions say.
//
// A stage that begins with an image of Go begins with the files of this machine instead,
// under an overlay, so that its steps change nothing here. Such a step runs by chroot in a
// mount namespace of its own. A stage that begins with scratch begins with nothing.
type image struct {
	root        string // the files of the last stage
	labels      map[string]string
	user        string
	entrypoint  []string
	healthcheck []string
	exposed     []string
	stopSignal  string
	bases       []string // what the stages begin with

	context string // the folder that COPY copies from
	ignored *patternmatcher.PatternMatcher
	args    map[string]string
	stages  map[string]stage
	scratch string // a folder for the files of the stages
}

// A stage is a step on the way.
type stage struct {
	base    string // the root of what it begins with; "" if that is nothing
	upper   string // the files that it has beside that
	folder  string // where its commands run
	environ []string
}

// buildImage carries out the Dockerfile. args are its build arguments. scratch is a folder
// on a tmpfs: the files of an overlay may not lie below what they overlay.
func buildImage(dockerfile, context, scratch string, args map[string]string) (*image, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	i := &image{context: context, scratch: scratch, args: args, labels: map[string]string{}, stages: map[string]stage{}}
	if err := i.readIgnored(dockerfile + ".dockerignore"); err != nil {
		return nil, err
	}
	for number, s := range stages {
		if err := i.build(number, s); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", dockerfile, s.OrigCmd, err)
		}
	}
	return i, nil
}

func (i *image) readIgnored(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	i.ignored, err = patternmatcher.New(patterns)
	return err
}

// build carries out one stage.
func (i *image) build(number int, s instructions.Stage) error {
	st := stage{upper: filepath.Join(i.scratch, fmt.Sprint("stage", number)), folder: "/"}
	if s.BaseName != "scratch" {
		st.base = "/"
		st.environ = environOfGo()
	}
	i.bases = append(i.bases, s.BaseName)
	if err := os.MkdirAll(st.upper, 0o755); err != nil {
		return err
	}
	lex := shell.NewLex(parsedEscape)
	values := keyed{}
	expand := func(word string) (string, error) {
		result, err := lex.ProcessWordWithMatches(word, values)
		return result.Result, err
	}
	for _, command := range s.Commands {
		if c, ok := command.(instructions.SupportsSingleWordExpansion); ok {
			if err := c.Expand(expand); err != nil {
				return err
			}
		}
		if err := i.step(&st, values, command); err != nil {
			return fmt.Errorf("%v: %w", command, err)
		}
	}
	i.root = st.upper
	if s.Name != "" {
		i.stages[s.Name] = st
	}
	return nil
}

const parsedEscape = '\\'

// keyed are the build arguments that a stage has named.
type keyed map[string]string

func (k keyed) Get(name string) (value string, found bool) {
	value, found = k[name]
	return value, found
}

func (k keyed) Keys() (names []string) {
	for name := range k {
		names = append(names, name)
	}
	return names
}

// step carries out one instruction.
func (i *image) step(st *stage, values keyed, command instructions.Command) error {
	switch c := command.(type) {
	case *instructions.WorkdirCommand:
		st.folder = path.Join(st.folder, c.Path)
		return os.MkdirAll(filepath.Join(st.upper, st.folder), 0o755)
	case *instructions.ArgCommand:
		for _, a := range c.Args {
			values[a.Key] = a.ValueString()
			if given, ok := i.args[a.Key]; ok {
				values[a.Key] = given
			}
		}
	case *instructions.CopyCommand:
		return i.copy(st, c)
	case *instructions.RunCommand:
		return st.run(c, values)
	case *instructions.LabelCommand:
		for _, l := range c.Labels {
			i.labels[l.Key] = l.Value
		}
	case *instructions.UserCommand:
		i.user = c.User
	case *instructions.ExposeCommand:
		i.exposed = c.Ports
	case *instructions.StopSignalCommand:
		i.stopSignal = c.Signal
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return fmt.Errorf("it needs a shell")
		}
		i.entrypoint = c.CmdLine
	case *instructions.HealthCheckCommand:
		if c.Health.Test[0] != "CMD" {
			return fmt.Errorf("it needs a shell")
		}
		i.healthcheck = c.Health.Test[1:]
	default:
		return fmt.Errorf("this check does not know the instruction")
	}
	return nil
}

// copy carries out COPY.
func (i *image) copy(st *stage, c *instructions.CopyCommand) error {
	to := c.DestPath
	if !path.IsAbs(to) {
		to = path.Join(st.folder, to)
	}
	into := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || len(c.SourcePaths) > 1
	for _, source := range c.SourcePaths {
		target := filepath.Join(st.upper, to)
		var from string
		var ignored *patternmatcher.PatternMatcher
		if c.From != "" {
			from = i.stages[c.From].find(source)
		} else {
			from, ignored = filepath.Join(i.context, source), i.ignored
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if into && !info.IsDir() {
			target = filepath.Join(target, path.Base(source))
		}
		if err := i.copyTree(from, target, ignored); err != nil {
			return err
		}
	}
	return nil
}

// find returns where a file of the stage lies.
func (s stage) find(name string) string {
	if in := filepath.Join(s.upper, name); exists(in) || s.base == "" {
		return in
	}
	return filepath.Join(s.base, name)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// copyTree copies a file, or the files of a folder that are not ignored.
func (i *image) copyTree(from, to string, ignored *patternmatcher.PatternMatcher) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return filepath.SkipDir // it is large, and no Dockerfile here wants it
		}
		rest, err := filepath.Rel(from, name)
		if err != nil || !entry.Type().IsRegular() && !(entry.Type() == fs.ModeSymlink && rest == ".") {
			return err
		}
		if ignored != nil {
			inContext, err := filepath.Rel(i.context, name)
			if err != nil {
				return err
			}
			if is, err := ignored.MatchesOrParentMatches(inContext); err != nil || is {
				return err
			}
		}
		return copyFile(name, filepath.Join(to, rest))
	})
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm())
}

// runs is a step of a stage. $1 is the base, $2 the upper folder, $3 a folder on the same
// file system, $4 where the command runs and $5 the command. Pairs of folders follow, which
// are mounts of the step. /dev and /proc are those of every container.
const runs = `
set -e
base=$1 upper=$2 scratch=$3 folder=$4 command=$5
shift 5
mkdir -p "$scratch/work" "$scratch/merged"
root=$scratch/merged
mount -t overlay overlay -o "lowerdir=$base,upperdir=$upper,workdir=$scratch/work" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
while [ $# -gt 0 ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done
exec chroot "$root" /bin/sh -c "cd '$folder' && $command"
`

// run carries out RUN. A cache of the step is the cache of this machine.
func (s stage) run(c *instructions.RunCommand, values keyed) error {
	if !c.PrependShell || s.base == "" {
		return fmt.Errorf("this check runs commands of a shell, on a base that has one")
	}
	args := []string{"--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	args = append(args, "/bin/sh", "-c", runs, "sh", s.base, s.upper, s.upper+".run", s.folder, strings.Join(c.CmdLine, "\n"))
	for _, m := range instructions.GetMounts(c) {
		cache, ok := map[string]string{"/go/pkg/mod": goSays("GOMODCACHE"), "/root/.cache/go-build": goSays("GOCACHE")}[m.Target]
		if !ok || m.Type != instructions.MountTypeCache {
			return fmt.Errorf("this check does not know the mount %s", m.Target)
		}
		args = append(args, cache, m.Target)
	}
	cmd := exec.Command("unshare", args...)
	cmd.Env = s.environ
	for name, value := range values {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// environOfGo is the environment of an image of Go, with this machine's way to modules.
func environOfGo() []string {
	return []string{
		"PATH=/go/bin:" + filepath.Join(goSays("GOROOT"), "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "GOPATH=/go", "GOTOOLCHAIN=local",
		"GOPROXY=" + goSays("GOPROXY"), "GOSUMDB=" + goSays("GOSUMDB"), "GONOSUMDB=" + goSays("GONOSUMDB"), "GONOPROXY=" + goSays("GONOPROXY"),
		"HTTPS_PROXY=" + os.Getenv("HTTPS_PROXY"), "HTTP_PROXY=" + os.Getenv("HTTP_PROXY"), "NO_PROXY=" + os.Getenv("NO_PROXY"),
	}
}

func goSays(name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		panic(err) // these tests run by go
	}
	return strings.TrimSpace(string(out))
}
