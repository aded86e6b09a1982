package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/parley-llm/parley"

// imports is the architecture: which packages of ours each package under internal, and api, may import. A package that
// is not here fails the test. Test files are free.
var imports = map[string][]string{
	"api":                {"sse"},
	"internal/terminal":  {"api"},
	"internal/fault":     {},
	"internal/llm":       {"fault"},
	"internal/pii":       {},
	"internal/audit":     {"fault"},
	"internal/search":    {},
	"internal/chat":      {"llm", "pii", "audit", "search", "rawjson", "fault"},
	"internal/sse":       {},
	"internal/rawjson":   {},
	"internal/upstream":  {"llm", "sse", "rawjson", "fault"},
	"internal/openai":    {"llm", "sse", "rawjson", "upstream", "fault"},
	"internal/anthropic": {"llm", "sse", "rawjson", "upstream", "fault"},
	"internal/echo":      {"llm", "fault"},
	"internal/catalog":   {"llm"},
	"internal/breaker":   {"chat"},
	"internal/tokens":    {},
	"internal/sqlite":    {"chat", "llm", "audit", "search", "fault"},
	"internal/mongo":     {"chat", "llm", "audit", "search", "fault"},
	"internal/mongotest": {},
	"internal/opentest":  {"chat", "audit", "sqlite", "mongo", "mongotest"},
	"internal/server":    {"chat", "llm", "audit", "search", "fault", "sse", "rawjson", "api"},
	"internal/config":    {},
	"internal/legacy":    {"chat", "llm", "fault"},
	"internal/llmtest":   {"llm", "sse", "fault"},
	"internal/storetest": {"chat", "llm", "audit", "search", "fault"},
	"internal/crashtest": {"api", "audit", "mongo", "sqlite"},
}

// core packages know no HTTP, no SQL, no provider, and need nothing but the standard library.
var core = []string{"internal/fault", "internal/llm", "internal/pii", "internal/audit", "internal/chat"}

// outside says where code of others may be used: each module behind as few doors as possible.
var outside = map[string][]string{
	"github.com/caarlos0/env":       {"internal/config"},
	"github.com/joho/godotenv":      {"internal/config"},
	"github.com/spf13/cobra":        {"cmd/parley"},
	"github.com/spf13/pflag":        {"cmd/parley"},
	"github.com/lmittmann/tint":     {"cmd/parley"},
	"github.com/danielgtaylor/huma": {"internal/server"},
	"github.com/prometheus":         {"internal/server"},
	"github.com/sony/gobreaker":     {"internal/breaker"},
	"github.com/pressly/goose":      {"internal/sqlite"},
	"github.com/tiktoken-go":        {"internal/tokens"},
	"go.mongodb.org/mongo-driver":   {"internal/mongo", "internal/mongotest", "internal/legacy", "internal/crashtest"},
	"modernc.org/libc":              {"internal/sqlite"},
	"modernc.org/sqlite":            {"internal/sqlite"},
	"zombiezen.com/go/sqlite":       {"internal/sqlite", "internal/crashtest"},
	"golang.org/x/term":             {"internal/terminal"},
	"golang.org/x/text":             {"internal/search"},
	"golang.org/x/sys":              {"internal/sqlite", "cmd/parley", "bench"},
}

type file struct {
	// pkg is the package's directory, from the module's root, with slashes.
	pkg, path string
	test      bool
	ast       *ast.File
	fset      *token.FileSet
}

func (f *file) imports() []string {
	var list []string
	for _, spec := range f.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			list = append(list, name)
		}
	}
	return list
}

// files parses all Go files of the module.
func files(t *testing.T) []file {
	t.Helper()
	root := ".."
	var list []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if base := d.Name(); name != root && (nested == nil || base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		list = append(list, file{pkg: path.Dir(rel), path: rel, test: strings.HasSuffix(rel, "_test.go"), ast: parsed, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d files found", len(list))
	}
	return list
}

func TestImportsPointInward(t *testing.T) {
	for _, f := range files(t) {
		if f.test || f.pkg == "cmd/parley" {
			continue
		}
		allowed, listed := imports[f.pkg]
		if !listed && (f.pkg == "api" || strings.HasPrefix(f.pkg, "internal/")) {
			t.Errorf("%s: package %s has no row in the import table", f.path, f.pkg)
			continue
		}
		for _, name := range f.imports() {
			ours, found := strings.CutPrefix(name, module+"/")
			if found && !slices.Contains(allowed, strings.TrimPrefix(ours, "internal/")) {
				t.Errorf("%s imports %s; %s may import %v", f.path, ours, f.pkg, allowed)
			}
		}
	}
}

func TestTheCoreKnowsNoHTTPAndNoSQL(t *testing.T) {
	for _, f := range files(t) {
		if f.test || !slices.Contains(core, f.pkg) {
			continue
		}
		for _, name := range f.imports() {
			first, _, _ := strings.Cut(name, "/")
			foreign := strings.Contains(first, ".") && !strings.HasPrefix(name, module+"/")
			if foreign || name == "net" || name == "net/http" || strings.HasPrefix(name, "database/") {
				t.Errorf("%s, which is of the core, imports %s", f.path, name)
			}
		}
	}
}

func TestEachDependencyHasItsPlace(t *testing.T) {
	for _, f := range files(t) {
		if f.test {
			continue
		}
		for _, name := range f.imports() {
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") || name == module || strings.HasPrefix(name, module+"/") {
				continue
			}
			var places []string
			for prefix, in := range outside {
				if name == prefix || strings.HasPrefix(name, prefix+"/") {
					places = in
				}
			}
			if !slices.Contains(places, f.pkg) {
				t.Errorf("%s imports %s, which may be used in %v", f.path, name, places)
			}
		}
	}
}

func TestOnlyConfigReadsTheEnvironment(t *testing.T) {
	readers := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	for _, f := range files(t) {
		if f.test || f.path == "cmd/parley/main.go" || !strings.HasPrefix(f.pkg, "internal/") && f.pkg != "cmd/parley" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(readers, sel.Sel.Name) {
				if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "os" || pkg.Name == "syscall") {
					t.Errorf("%s: %s.%s", f.fset.Position(sel.Pos()), pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// zombiezen.com/go/sqlite 1.4.2 gives sqlite3_db_config fewer arguments than it reads: SQLite then writes to a stray address.
func TestNobodyCallsSetDefensive(t *testing.T) {
	for _, f := range files(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "SetDefensive" {
				t.Errorf("%s: this call corrupts memory, see docs/decisions/0002", f.fset.Position(sel.Pos()))
			}
			return true
		})
	}
}

func TestNothingHappensBeforeMain(t *testing.T) {
	for _, f := range files(t) {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: an init function", f.fset.Position(fn.Pos()))
			}
		}
	}
}

func TestArchitectureMdShowsTheSameTable(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|[^|]*\\| ([a-z ]+) \\|$")
	shown := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		shown[m[1]] = strings.Fields(m[2])
	}
	for pkg, allowed := range imports {
		if strings.HasSuffix(pkg, "test") {
			continue
		}
		want := slices.Sorted(slices.Values(allowed))
		if len(want) == 0 {
			want = []string{"nothing"}
		}
		got := slices.Sorted(slices.Values(shown[pkg]))
		if !slices.Equal(got, want) {
			t.Errorf("ARCHITECTURE.md says that %s imports %v; the test says %v", pkg, got, want)
		}
	}
}
