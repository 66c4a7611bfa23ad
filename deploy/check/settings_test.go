package check

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// The documents say that a block of settings means the same to a shell, to EnvironmentFile=
// of systemd and to env_file: of Docker Compose.

func TestSettingsAreReadAlike(t *testing.T) {
	block := regexp.MustCompile("(?s)\n```sh\n(HOLDFAST_.*?)```\n")
	tried := 0
	for _, doc := range []string{"../docs/recipes.md", "../docs/configuration.md"} {
		for _, found := range block.FindAllStringSubmatch(string(file(t, doc)), -1) {
			tried++
			want := readByShell(t, found[1])
			if got := readBySystemd(t, found[1]); !maps.Equal(got, want) {
				t.Errorf("%s: systemd reads\n%q\na shell\n%q", doc, got, want)
			}
			got, err := dotenv.Parse(strings.NewReader(found[1]))
			maps.DeleteFunc(got, func(_, value string) bool { return value == "" })
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%s: Docker Compose reads\n%q (%v)\na shell\n%q", doc, got, err, want)
			}
		}
	}
	if tried < 15 {
		t.Errorf("the documents have %d blocks of settings, want at least 15", tried)
	}
}

// readByShell leaves out empty values, which mean the defaults.
func readByShell(t *testing.T, settings string) map[string]string {
	t.Helper()
	cmd := exec.Command("sh", "-c", "set -a\n"+settings+"\nenv -0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	read := map[string]string{}
	for setting := range strings.SplitSeq(ran(t, cmd), "\x00") {
		if name, value, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "HOLDFAST_") && value != "" {
			read[name] = value
		}
	}
	return read
}

// readBySystemd asks the program that reads environment.d, by the parser of EnvironmentFile=.
// It prints what a shell can read. A $ would mean a variable to it; no setting has one.
func readBySystemd(t *testing.T, settings string) map[string]string {
	t.Helper()
	home := t.TempDir()
	folder := filepath.Join(home, "environment.d")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "holdfast.conf"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
	cmd.Env = []string{"XDG_CONFIG_HOME=" + home, "HOME=" + home}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return readByShell(t, string(out))
}
