package main_test

import (
	"go/ast"
	"go/token"
	"io"
	"os"
	"path"
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
var documents = []string{
	"README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md",
	"docs/configuration.md", "docs/deadlines.md", "docs/front-door.md", "docs/operating.md", "docs/performance.md",
	"deploy/README.md",
	"docs/recipes.md", "docs/reliability.md", "docs/restarts.md", "docs/runbook.md",
}

func TestDocumentsAreAllKnown(t *testing.T) {
	found, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range found {
		if !slices.Contains(documents, filepath.ToSlash(doc)) {
			t.Errorf("%s is not among the documents that are checked", doc)
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variablesTable is what `holdfast env -format markdown` prints.
func variablesTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	if code := command.Run([]string{"env", "-format", "markdown"}, nil, &out, io.Discard); code != 0 || out.Len() == 0 {
		t.Fatalf("`holdfast env -format markdown` ends with %d and prints %q", code, out.String())
	}
	return out.String()
}

func TestConfigurationHasTheTableOfTheCode(t *testing.T) {
	if table := variablesTable(t); !strings.HasSuffix(document(t, "docs/configuration.md"), "\n\n"+table) {
		t.Errorf("docs/configuration.md: the table of variables is not what `holdfast env -format markdown` prints:\n%s", table)
	}
}

// The example that packages install is what the binary prints. It sets nothing.
func TestTheExampleHasEachVariable(t *testing.T) {
	var out strings.Builder
	if code := command.Run([]string{"env", "-format", "dotenv"}, nil, &out, io.Discard); code != 0 {
		t.Fatalf("`holdfast env -format dotenv` ends with %d", code)
	}
	example := document(t, "deploy/holdfast.env.example")
	if example != out.String() {
		t.Error("deploy/holdfast.env.example is not what `holdfast env -format dotenv` prints without an environment")
	}
	for line := range strings.Lines(example) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			t.Errorf("deploy/holdfast.env.example sets something: %s", line)
		}
	}
}

// The README's table is a selection, in words of its own. The defaults are the code's.
func TestReadmeNamesTheDefaults(t *testing.T) {
	table := variablesTable(t)
	rows := regexp.MustCompile("(?m)^\\| `HOLDFAST_[A-Z_]+` \\| +(?:`.+?`)? *\\|").FindAllString(document(t, "README.md"), -1)
	if len(rows) == 0 {
		t.Error("README.md has no table of variables")
	}
	for _, row := range rows {
		if !strings.Contains(table, "\n"+row) {
			t.Errorf("README.md has the row %q with a default that is not the code's", row)
		}
	}
}

// The figures that documents pick out are those of the tables in docs/performance.md,
// which its commands have printed.
func TestFiguresAreThoseOfTheTables(t *testing.T) {
	performance := document(t, "docs/performance.md")
	figure := regexp.MustCompile(`\d+(?:,\d{3})*(?:\.\d+)?`)
	_, tables, _ := strings.Cut(performance, "\n## Beside other proxies\n")
	var rows []string
	for line := range strings.Lines(tables) {
		if strings.HasPrefix(line, "| ") {
			rows = append(rows, line)
		}
	}
	stands := func(number string, rows []string) bool {
		return slices.ContainsFunc(rows, func(row string) bool {
			return slices.Contains(figure.FindAllString(row, -1), number)
		})
	}

	for _, row := range strings.Split(section(t, "README.md", "What it costs"), "\n") {
		label, figures, isRow := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		if !isRow || label == "figure" {
			continue
		}
		i := slices.IndexFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| "+label) })
		for _, number := range figure.FindAllString(figures, -1) {
			if i < 0 || !stands(number, rows[i:i+1]) {
				t.Errorf("README.md: %s of %q is not a figure of docs/performance.md", number, label)
			}
		}
	}
	for _, number := range figure.FindAllString(section(t, "docs/performance.md", "In short"), -1) {
		if strings.ContainsAny(number, ".,") && !stands(number, rows) {
			t.Errorf("docs/performance.md: %s of the summary is not a figure of a table", number)
		}
	}
	_, cost, _ := strings.Cut(section(t, "docs/configuration.md", "How to choose the interval"), "- *CPU*")
	idle := slices.DeleteFunc(slices.Clone(rows), func(row string) bool { return !strings.HasPrefix(row, "| CPU of 9,000 idle sessions") })
	for _, number := range regexp.MustCompile(`\d+\.\d+`).FindAllString(cost, -1) {
		if !stands(number, idle) {
			t.Errorf("docs/configuration.md: %s is not a figure of docs/performance.md", number)
		}
	}
}

// section is what stands under a heading of the second level.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(document(t, doc), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", doc, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// What is shown of a recipe's file is the file, which the end-to-end tests run.
func TestRecipesShowTheirFiles(t *testing.T) {
	files, err := filepath.Glob("docs/recipes/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("docs/recipes has %v (%v)", files, err)
	}
	for _, file := range files {
		if !strings.Contains(document(t, "docs/recipes.md"), "\n"+document(t, file)+"```\n") {
			t.Errorf("docs/recipes.md does not show %s as it is", file)
		}
	}
}

// Settings stand in blocks of sh, or in the env of a container.
func TestSettingsOfRecipesAreAccepted(t *testing.T) {
	block := regexp.MustCompile("(?s)\n```(?:sh|yaml)\n(.*?)```\n")
	setting := regexp.MustCompile(`(?m)^(HOLDFAST_[A-Z_]+)=(.+)$|\{name: (HOLDFAST_[A-Z_]+), value: "(.+)"\}`)
	tried := 0
	for _, found := range block.FindAllStringSubmatch(document(t, "docs/recipes.md"), -1) {
		var environ []string
		for _, s := range setting.FindAllStringSubmatch(found[1], -1) {
			environ = append(environ, s[1]+s[3]+"="+strings.Trim(s[2], "'")+s[4]) // quotes are the shell's
		}
		if environ == nil {
			continue
		}
		tried++
		c, _, complaints := config.Load(environ) // and not `holdfast check`, which looks for the folders of sockets
		if len(complaints) == 0 {
			complaints = c.Warnings()
		}
		if len(complaints) > 0 {
			t.Errorf("docs/recipes.md: %q:\n%s", environ, complaints)
		}
	}
	if tried < 7 {
		t.Errorf("%d recipes have settings, want at least 7", tried)
	}
}

// Shells, EnvironmentFile= of systemd and env_file: of Docker Compose read a value in single
// quotes as it stands there, and a value of these characters without quotes.
func TestSettingsAreTheSameForShellsAndFiles(t *testing.T) {
	block := regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")
	setting := regexp.MustCompile(`(?m)^(HOLDFAST_[A-Z_]+)=(.*)$`)
	same := regexp.MustCompile(`^('[^']*'|[-A-Za-z0-9._:/%\[\]@+=,*?]*)$`)
	for doc, least := range map[string]int{"docs/recipes.md": 60, "docs/configuration.md": 1} {
		tried := 0
		for _, found := range block.FindAllStringSubmatch(document(t, doc), -1) {
			for _, s := range setting.FindAllStringSubmatch(found[1], -1) {
				if tried++; !same.MatchString(s[2]) {
					t.Errorf("%s: put the value of %s in single quotes", doc, s[0])
				}
			}
		}
		if tried < least {
			t.Errorf("%s has %d settings, want at least %d", doc, tried, least)
		}
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
	// Without a certificate and an upstream some metrics do not exist.
	m.SetTLSCertificateExpiry(time.Now())
	m.Upstream("")
	m.ShowAddresses(func() []metrics.Address { return []metrics.Address{{}} })
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var known []string
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

// A test that is named as the keeper of a promise exists. "`TestA` in `e2e`" says where.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	where := map[string][]string{} // the folders of each test
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && isTest(s.name) {
				where[f.Name.Name] = append(where[f.Name.Name], path.Dir(s.name))
			}
		}
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`(?:(?:,| and) `(?:Test|Fuzz)\\w*`)*(?: in `(\\w+)`)?")
	for _, doc := range documents {
		text := document(t, doc)
		for {
			at := name.FindStringSubmatchIndex(text)
			if at == nil {
				break
			}
			test, folder := text[at[2]:at[3]], ""
			if at[4] >= 0 {
				folder = text[at[4]:at[5]]
			}
			if len(where[test]) == 0 || folder != "" && !slices.Contains(where[test], folder) {
				t.Errorf("%s: there is no %s in %q", doc, test, folder)
			}
			text = text[at[3]:]
		}
	}
}

// Each promise names a test: in the table of docs/reliability.md, and for what SECURITY.md
// lists in bold in the table below its list.
func TestEachPromiseHasATest(t *testing.T) {
	const rows = `(?m)^\| ([^|]+) \| ([^|]+) \|$`
	security := section(t, "SECURITY.md", "What Holdfast protects against")
	reliability, _, _ := strings.Cut(document(t, "docs/reliability.md"), "\n## ")
	tests := map[string]string{}
	for _, row := range regexp.MustCompile(rows).FindAllStringSubmatch(security+reliability, -1) {
		tests[row[1]] = row[2]
		if row[1] != "promise" && !regexp.MustCompile("`(?:Test|Fuzz)|`make fuzz`").MatchString(row[2]) {
			t.Errorf("no test is named for %q", row[1])
		}
	}
	promises := regexp.MustCompile(`(?m)^- \*\*(.+?)\.?\*\*`).FindAllStringSubmatch(security, -1)
	if len(promises) == 0 {
		t.Error("SECURITY.md lists no promise")
	}
	for _, promise := range promises {
		if tests[promise[1]] == "" {
			t.Errorf("SECURITY.md: %q has no row with tests", promise[1])
		}
	}
}

// A message in the table of the log is the beginning of a text in the code.
func TestDocumentedMessagesExist(t *testing.T) {
	var code strings.Builder
	for _, s := range sources(t) {
		if !isTest(s.name) {
			code.WriteString(document(t, s.name))
		}
	}
	_, table, _ := strings.Cut(section(t, "docs/operating.md", "The log"), "\n| message |")
	table, _, _ = strings.Cut(table, "\n\n")
	message := regexp.MustCompile("`([^`]+)`")
	found := 0
	for row := range strings.Lines(table) {
		messages, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range message.FindAllStringSubmatch(messages, -1) {
			found++
			if !strings.Contains(code.String(), `"`+m[1]) {
				t.Errorf("docs/operating.md: the log has no message that begins with %q", m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("docs/operating.md has %d messages, want at least 20", found)
	}
}

// Links within the repository lead somewhere, and so do the files that are
// named in code style. A link starts from its document. A name without a
// directory may be the proxy's.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]*)(#[^)]*)?\)`)
	name := regexp.MustCompile("`([a-z0-9_/-]+\\.(?:go|md))`")
	for _, doc := range documents {
		for _, found := range link.FindAllStringSubmatch(document(t, doc), -1) {
			target := doc
			if found[1] != "" {
				target = path.Join(path.Dir(doc), found[1])
			}
			switch {
			case !exists(target):
				t.Errorf("%s: there is no %s", doc, target)
			case found[2] != "" && !slices.Contains(anchors(document(t, target)), found[2]):
				t.Errorf("%s: %s has no heading for %s", doc, target, found[2])
			}
		}
		for _, found := range name.FindAllStringSubmatch(document(t, doc), -1) {
			if !exists(found[1]) && !exists("proxy/"+found[1]) {
				t.Errorf("%s: there is no %s", doc, found[1])
			}
		}
	}
}

// anchors are what links to the headings of a document end with.
func anchors(text string) (all []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		words := dropped.ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, "#"+strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

func exists(file string) bool {
	_, err := os.Stat(filepath.FromSlash(file))
	return err == nil
}
