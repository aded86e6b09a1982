package server_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const specFile = "../../docs/openapi.json"

func fetch(t *testing.T, w *world, path string) *httptest.ResponseRecorder {
	t.Helper()
	return fetchAs(t, w, path, "")
}

func fetchAs(t *testing.T, w *world, path, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	req.Host = "localhost"
	if encoding != "" {
		req.Header.Set("Accept-Encoding", encoding)
	}
	w.handler.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return rec
}

// The committed document is made with -update and must be what the server says of itself.
func TestTheOpenAPIFileIsUpToDate(t *testing.T) {
	w := newWorld(t, settings{})
	var laid bytes.Buffer
	if err := json.Indent(&laid, fetch(t, w, "/openapi.json").Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := bytes.Replace(append(laid.Bytes(), '\n'), []byte(`"version": "test"`), []byte(`"version": "0"`), 1)
	if *update {
		if err := os.WriteFile(specFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/openapi.json is not what the server serves: go test ./internal/server -update")
	}
}

func TestTheOpenAPIDocumentIsWhole(t *testing.T) {
	w := newWorld(t, settings{})
	s := w.spec()
	text := fetch(t, w, "/openapi.json").Body.String()
	for _, leak := range []string{"$schema", "ErrorModel", "unpkg", "http://127.0.0.1:8000/openapi"} {
		if strings.Contains(text, leak) {
			t.Errorf("the document has %s", leak)
		}
	}
	schemas, _ := s["components"].(map[string]any)["schemas"].(map[string]any)
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if schemas[ref[1]] == nil {
			t.Errorf("%s is referred to and missing", ref[1])
		}
	}
	for path, item := range s["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			at := method + " " + path
			if op["summary"] == nil || op["operationId"] == nil || len(op["tags"].([]any)) != 1 {
				t.Errorf("%s has no summary, id or tag", at)
			}
			responses := op["responses"].(map[string]any)
			for status, r := range responses {
				if r.(map[string]any)["description"] == "" {
					t.Errorf("%s: %s has no description", at, status)
				}
			}
			if strings.Contains(path, "{") && responses["404"] == nil {
				t.Errorf("%s says nothing of 404", at)
			}
			if body, ok := op["requestBody"].(map[string]any); ok {
				content := body["content"].(map[string]any)["application/json"].(map[string]any)
				if content["examples"] == nil || responses["422"] == nil || responses["413"] == nil {
					t.Errorf("%s has no example, or says nothing of what it refuses", at)
				}
			}
		}
	}
	old := fetch(t, w, "/openapi-3.0.json").Body.String()
	if !strings.Contains(old, `"openapi":"3.0.3"`) || strings.Contains(old, `"null"`) || strings.Contains(old, `"propertyNames"`) {
		t.Errorf("the older document: %.300s", old)
	}
	if yaml := fetch(t, w, "/openapi.yaml").Body.String(); !strings.Contains(yaml, "openapi: 3.1.0\n") {
		t.Errorf("%.200s", yaml)
	}
}

// What /docs has filled in when somebody opens an operation and presses Execute.
func TestWhatTheDocsFillInCanBeSentTwice(t *testing.T) {
	s := newWorld(t, settings{}).spec()
	for path, item := range s["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			parameters, _ := op.(map[string]any)["parameters"].([]any)
			for _, p := range parameters {
				if p := p.(map[string]any); p["example"] != nil || p["examples"] != nil {
					t.Errorf("%s %s: %v is filled in with an example", method, path, p["name"])
				}
			}
		}
	}
	content := s["paths"].(map[string]any)["/api/conversations/{conversation_id}/responses"].(map[string]any)["post"].(map[string]any)["requestBody"].(map[string]any)["content"].(map[string]any)
	examples := content["application/json"].(map[string]any)["examples"].(map[string]any)
	first := slices.Min(slices.Collect(maps.Keys(examples)))
	if value := examples[first].(map[string]any)["value"].(map[string]any); len(value) != 1 || value["prompt"] == nil {
		t.Errorf("a prompt is filled in as %q: %v", first, value)
	}
}

// An empty header is one that was not sent, and the document says so as the server does it.
func TestTheDocumentSaysWhichLastEventIDIsTaken(t *testing.T) {
	w := newWorld(t, settings{})
	path := "/api/responses/{response_id}/events"
	var pattern *regexp.Regexp
	for _, p := range w.spec()["paths"].(map[string]any)[path].(map[string]any)["get"].(map[string]any)["parameters"].([]any) {
		if p := p.(map[string]any); p["name"] == "Last-Event-ID" {
			pattern = regexp.MustCompile(p["schema"].(map[string]any)["pattern"].(string))
		}
	}
	for value, taken := range map[string]bool{"": true, "-1": true, "0": true, "999999999999999999": true, "1000000000000000000": false, "-2": false, "1.5": false, "abc": false} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(path, "{response_id}", "resp_none", 1), nil)
		req.Host = "localhost"
		req.Header.Set("Last-Event-ID", value)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if refused := rec.Code == http.StatusUnprocessableEntity; refused == taken || pattern.MatchString(value) != taken {
			t.Errorf("%q: %d, and the document takes it: %v", value, rec.Code, pattern.MatchString(value))
		}
	}
}

// Every example of a request's body is one that the server takes, and every example of an answer has its form.
func TestTheExamplesAreValid(t *testing.T) {
	w := newWorld(t, settings{})
	s := w.spec()
	for path, item := range s["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			for status, response := range op.(map[string]any)["responses"].(map[string]any) {
				contents, _ := response.(map[string]any)["content"].(map[string]any)
				for _, content := range contents {
					content := content.(map[string]any)
					if example, ok := content["example"]; ok {
						s.check(t, method+" "+path+" "+status, content["schema"].(map[string]any), example)
					}
				}
			}
			body, ok := op.(map[string]any)["requestBody"].(map[string]any)
			if !ok {
				continue
			}
			content := body["content"].(map[string]any)["application/json"].(map[string]any)
			for name, example := range content["examples"].(map[string]any) {
				data, err := json.Marshal(example.(map[string]any)["value"])
				if err != nil {
					t.Fatal(err)
				}
				target := regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "unknown")
				var p struct{ Errors []any }
				if w.call(strings.ToUpper(method), target, string(data), &p); len(p.Errors) > 0 {
					t.Errorf("%s %s %q: %v", method, path, name, p.Errors)
				}
			}
		}
	}
}

func TestTheDocumentationNeedsNoNetwork(t *testing.T) {
	w := newWorld(t, settings{})
	page := fetch(t, w, "/docs")
	policy := page.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "http") || strings.Contains(strings.SplitN(policy, "style-src", 2)[0], "unsafe") {
		t.Errorf("%s", policy)
	}
	html := page.Body.String()
	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(links) < 6 || strings.Contains(html, "<script>") || strings.Contains(html, "style=") {
		t.Errorf("%s", html)
	}
	for _, link := range links {
		if !strings.HasPrefix(link[1], "/") || strings.HasPrefix(link[1], "//") {
			t.Errorf("the page loads %s", link[1])
			continue
		}
		if file := fetch(t, w, link[1]); file.Body.Len() == 0 || file.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", link[1], file.Header())
		}
	}
	for path, want := range map[string]string{
		"/docs/swagger-ui.css": "text/css; charset=utf-8", "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8", "/docs/favicon-32x32.png": "image/png",
	} {
		if got := fetch(t, w, path).Header().Get("Content-Type"); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestSwaggerUIIsUnchanged(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("swagger", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sums := regexp.MustCompile("`([a-z0-9.-]+)` \\| `([0-9a-f]{64})`").FindAllStringSubmatch(string(readme), -1)
	if len(sums) != 3 {
		t.Fatalf("%v", sums)
	}
	w := newWorld(t, settings{})
	for _, sum := range sums {
		file := fetch(t, w, "/docs/"+sum[1])
		data := file.Body.Bytes()
		if file.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: compressed, unasked", sum[1])
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum[2] {
			t.Errorf("%s has changed", sum[1])
		}
	}
}

func TestTheLargeFilesAreSentCompressedToWhomThatSuits(t *testing.T) {
	w := newWorld(t, settings{})
	const path = "/docs/swagger-ui.css"
	plain := fetch(t, w, path).Body.Bytes()
	for encoding, want := range map[string]string{
		"gzip": "gzip", "deflate, GZIP;q=0.5, br": "gzip", "gzip;q=0": "", "gzip; q=0.0": "", "br, zstd": "", "x-gzip": "", "*": "",
	} {
		file := fetchAs(t, w, path, encoding)
		if got := file.Header().Get("Content-Encoding"); got != want || file.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %q, %v", encoding, got, file.Header())
		}
		body := io.Reader(file.Body)
		if want != "" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: other bytes: %v", encoding, err)
		}
	}
}

func TestEveryAnswerKeepsBrowsersFromGuessing(t *testing.T) {
	w := newWorld(t, settings{})
	for _, path := range []string{"/livez", "/api/conversations", "/nowhere"} {
		resp := w.call("GET", path, "", nil)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by other sites", path)
		}
	}
}
