package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is what the test knows of the program's packages.
type source struct {
	t    *testing.T
	fset *token.FileSet
	// files by the package's name.
	files map[string][]*ast.File
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{t: t, fset: token.NewFileSet(), files: map[string][]*ast.File{}}
	for _, root := range []string{"..", "../../cmd"} {
		err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(filepath.Dir(name), "test") {
				return err
			}
			f, err := parser.ParseFile(s.fset, name, nil, parser.SkipObjectResolution)
			if err == nil {
				s.files[f.Name.Name] = append(s.files[f.Name.Name], f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// codes are the codes of all faults that the program makes, each with a place where it does.
func (s *source) codes() map[string]token.Position {
	found := map[string]token.Position{}
	for pkg, files := range s.files {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				for _, expr := range faultCode(pkg, n) {
					values := s.values(pkg, f, expr)
					if len(values) == 0 {
						s.t.Errorf("%v: cannot tell which code this is", s.fset.Position(expr.Pos()))
					}
					for _, v := range values {
						found[v] = s.fset.Position(expr.Pos())
					}
				}
				return true
			})
		}
	}
	return found
}

// faultCode is the expression of the code where a node makes a fault.
func faultCode(pkg string, n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		index, isFault := map[string]int{"New": 1, "Newf": 1, "Wrap": 2}[selector(n.Fun, "fault")]
		if isFault {
			return []ast.Expr{n.Args[index]}
		}
	case *ast.CompositeLit:
		name := selector(n.Type, "fault")
		if id, ok := n.Type.(*ast.Ident); ok && pkg == "fault" {
			name = id.Name
		}
		if name != "Error" {
			return nil
		}
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Code" {
				// Within the package fault itself it may be a parameter, which its callers are asked for.
				if id, ok := kv.Value.(*ast.Ident); ok && pkg == "fault" && id.Name == "code" {
					continue
				}
				return []ast.Expr{kv.Value}
			}
		}
	}
	return nil
}

// selector is the name that is selected from an identifier, or empty.
func selector(expr ast.Expr, from string) string {
	if sel, ok := expr.(*ast.SelectorExpr); ok {
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == from {
			return sel.Sel.Name
		}
	}
	return ""
}

// values are the strings that an expression may be: a literal, a constant, what is assigned to a variable of that name in the
// file, or what the package gives to a parameter of that name.
func (s *source) values(pkg string, f *ast.File, expr ast.Expr) []string {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return []string{literal(e)}
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok && s.files[id.Name] != nil {
			return s.constants(id.Name, e.Sel.Name)
		}
	case *ast.Ident:
		if list := s.constants(pkg, e.Name); len(list) > 0 {
			return list
		}
		return append(assigned(f, e.Name), s.given(pkg, e.Name)...)
	}
	return nil
}

func literal(lit *ast.BasicLit) string {
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		panic(err)
	}
	return text
}

func (s *source) constants(pkg, name string) []string {
	var list []string
	for _, f := range s.files[pkg] {
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				spec := spec.(*ast.ValueSpec)
				for i, id := range spec.Names {
					if id.Name == name && i < len(spec.Values) {
						list = append(list, s.values(pkg, f, spec.Values[i])...)
					}
				}
			}
		}
	}
	return list
}

func assigned(f *ast.File, name string) []string {
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, left := range a.Lhs {
			lit, isLit := a.Rhs[i].(*ast.BasicLit)
			if id, ok := left.(*ast.Ident); ok && isLit && id.Name == name {
				list = append(list, literal(lit))
			}
		}
		return true
	})
	return list
}

// given are the arguments for a parameter of a name, in all calls of the package's functions that have one.
func (s *source) given(pkg, param string) []string {
	places := map[string]int{}
	for _, f := range s.files[pkg] {
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			i := 0
			for _, field := range fn.Type.Params.List {
				for _, id := range field.Names {
					if id.Name == param {
						places[fn.Name.Name] = i
					}
					i++
				}
			}
		}
	}
	var list []string
	for _, f := range s.files[pkg] {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				name = fun.Name
			case *ast.SelectorExpr:
				name = fun.Sel.Name
			}
			if i, ok := places[name]; ok && i < len(call.Args) {
				if id, ok := call.Args[i].(*ast.Ident); !ok || id.Name != param {
					list = append(list, s.values(pkg, f, call.Args[i])...)
				}
			}
			return true
		})
	}
	return list
}

func TestEveryCodeHasARowInTheTableOfProblems(t *testing.T) {
	codes := readSource(t).codes()
	if len(codes) < 30 {
		t.Fatalf("only %d codes found", len(codes))
	}
	var rows []string
	for _, group := range problemTable {
		for _, row := range group.Rows {
			if slices.Contains(rows, row.Code) {
				t.Errorf("%s has two rows", row.Code)
			}
			rows = append(rows, row.Code)
			if _, used := codes[row.Code]; !used {
				t.Errorf("nothing makes %s any more: its row in problems.go is to go", row.Code)
			}
			if row.Status < 400 || row.Cause == "" || row.Remedy == "" || statusText(row.Status) == "" {
				t.Errorf("%+v", row)
			}
		}
	}
	for code, at := range codes {
		if !slices.Contains(rows, code) {
			t.Errorf("%v: the code %s has no row in internal/server/problems.go: say its status, why it happens and what to do", at, code)
		}
	}
}

func TestTheTypeOfAProblemIsAPage(t *testing.T) {
	s, _ := bare(t)
	s.APIKey = "secret" // the pages need none
	page := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		s.ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	status, all := page("/problems")
	if status != http.StatusOK {
		t.Fatal(status, all)
	}
	for _, group := range problemTable {
		for _, row := range group.Rows {
			status, one := page(problemsPath + row.Code)
			if status != http.StatusOK || !strings.Contains(one, "<title>"+row.Code) || strings.Count(one, "<section") != 1 {
				t.Errorf("%s: %d %s", row.Code, status, one)
			}
			if !strings.Contains(all, `<section id="`+row.Code+`">`) {
				t.Errorf("%s is not among all", row.Code)
			}
		}
	}
	if status, text := page(problemsPath + "nothing"); status != http.StatusNotFound || strings.Contains(text, "<html") {
		t.Errorf("%d %s", status, text)
	}
	if status, css := page("/docs/problems.css"); status != http.StatusOK || strings.Contains(css, "http") {
		t.Errorf("%d %s", status, css)
	}
}

// The status that the table names is that of the answer.
func TestTheTableOfProblemsHasTheStatusesThatAreAnswered(t *testing.T) {
	for status := range map[int]bool{400: true, 401: true, 403: true, 404: true, 409: true, 412: true, 413: true, 415: true, 422: true, 429: true, 500: true, 502: true, 503: true, 504: true} {
		example, ok := exampleProblem(status).(map[string]any)
		if !ok {
			t.Fatalf("no example of %d", status)
		}
		if row := rowOf(example["code"].(string)); row.Status != status {
			t.Errorf("%s: the table says %d, the answer %d", row.Code, row.Status, status)
		}
	}
}

func rowOf(code string) problemDoc {
	for _, group := range problemTable {
		for _, row := range group.Rows {
			if row.Code == code {
				return row
			}
		}
	}
	return problemDoc{}
}
