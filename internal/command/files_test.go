package command

import (
	"os"
	"path/filepath"
	"testing"
)

const someUpstream = "HOLDFAST_UPSTREAM=ws://localhost:9000"

// write makes a file that only this test knows.
func write(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	rewrite(t, path, content)
	return path
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
