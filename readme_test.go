package main_test

import (
	"go/ast"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/command"
	"holdfast/internal/config"
	"holdfast/metrics"
)

// documents are what is written for people and speaks of the code by name.
var documents = []string{"README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md"}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadmeTableIsThatOfTheCode(t *testing.T) {
	var out strings.Builder
	command.Run([]string{"env", "-format", "markdown"}, nil, &out, io.Discard)
	table := out.String()
	if table == "" || !strings.Contains(document(t, "README.md"), "\n\n"+table+"\n") {
		t.Errorf("README.md: the table of variables is not what `holdfast env -format markdown` prints:\n%s", table)
	}
}

func TestDocumentsNameVariablesThatExist(t *testing.T) {
	name := regexp.MustCompile(`HOLDFAST_[A-Z_]*[A-Z]`)
	for _, doc := range documents {
		for _, found := range name.FindAllString(document(t, doc), -1) {
			if !slices.Contains(config.Names(), found) {
				t.Errorf("%s: %s is no variable", doc, found)
			}
		}
	}
}

// Errors and log lines name variables too.
func TestCodeNamesVariablesThatExist(t *testing.T) {
	name := regexp.MustCompile(`HOLDFAST_[A-Z_]*[A-Z]`)
	for _, s := range sources(t) {
		if isTest(s.name) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			for _, found := range name.FindAllString(literal.Value, -1) {
				if !slices.Contains(config.Names(), found) {
					t.Errorf("%s: %s is not a variable", s.set.Position(literal.Pos()), found)
				}
			}
			return true
		})
	}
}

func TestDocumentsNameMetricsThatExist(t *testing.T) {
	m := metrics.New("")
	m.SetTLSCertificateExpiry(time.Now()) // there is no such metric without a certificate
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	// Those of upstreams have no series until there is an upstream.
	known := []string{"holdfast_upstream_up", "holdfast_upstream_sessions_active"}
	for _, family := range families {
		known = append(known, family.GetName())
	}
	name := regexp.MustCompile(`\bholdfast_[a-z_]*[a-z]`)
	for _, doc := range documents {
		for _, found := range name.FindAllString(document(t, doc), -1) {
			if !slices.Contains(known, found) {
				t.Errorf("%s: %s is no metric", doc, found)
			}
		}
	}
}

// Links within the repository lead somewhere, and so do the files that are
// named in code style. One without a directory may be the proxy's.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	named := regexp.MustCompile("\\]\\(([^):#]+)\\)|`([a-z0-9_/]+\\.(?:go|md))`")
	for _, doc := range documents {
		for _, found := range named.FindAllStringSubmatch(document(t, doc), -1) {
			file := found[1] + found[2]
			if !exists(file) && !exists("proxy/"+file) {
				t.Errorf("%s: there is no %s", doc, file)
			}
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(filepath.FromSlash(file))
	return err == nil
}
