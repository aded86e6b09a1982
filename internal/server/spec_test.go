package server_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// spec is the OpenAPI document as a tree.
type spec map[string]any

func readSpec(t *testing.T, handler http.Handler) spec {
	t.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil)
	req.Host = "localhost"
	handler.ServeHTTP(rec, req)
	var s spec
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil {
		t.Fatalf("/openapi.json: %d %v", rec.Code, err)
	}
	return s
}

// conforms checks an answer against what the OpenAPI document promises of it.
func conforms(t *testing.T, s spec, method, path string, resp *http.Response, body []byte) {
	t.Helper()
	op := s.operation(strings.ToLower(method), path)
	if op == nil {
		return
	}
	responses, _ := op["responses"].(map[string]any)
	response, documented := responses[strconv.Itoa(resp.StatusCode)].(map[string]any)
	if !documented {
		t.Errorf("%s %s: the status %d is not documented", method, path, resp.StatusCode)
		return
	}
	if len(body) == 0 {
		return
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	contents, _ := response["content"].(map[string]any)
	content, documented := contents[mediaType].(map[string]any)
	if !documented {
		t.Errorf("%s %s: %d as %s is not documented", method, path, resp.StatusCode, mediaType)
		return
	}
	if !strings.HasSuffix(mediaType, "json") {
		return
	}
	values := [][]byte{body}
	if mediaType == "application/x-ndjson" {
		values = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	}
	for _, value := range values {
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			t.Errorf("%s %s: not JSON: %v", method, path, err)
			return
		}
		s.check(t, method+" "+path+": body", content["schema"].(map[string]any), v)
	}
}

func (s spec) operation(method, path string) map[string]any {
	for pattern, item := range s["paths"].(map[string]any) {
		if op, ok := item.(map[string]any)[method].(map[string]any); ok && matchPath(pattern, path) {
			return op
		}
	}
	return nil
}

func matchPath(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && (!strings.HasPrefix(want[i], "{") || got[i] == "") {
			return false
		}
	}
	return true
}

// resolve is the schema that another one refers to, or that one.
func (s spec) resolve(schema map[string]any) map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		schema, _ = s["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
	}
	return schema
}

// names reports whether a form is for objects of the name that a value has, if it has one and the form is for one name.
func names(form map[string]any, v any) bool {
	fields, _ := v.(map[string]any)
	properties, _ := form["properties"].(map[string]any)
	object, _ := properties["object"].(map[string]any)
	enum, _ := object["enum"].([]any)
	return len(enum) == 0 || slices.Contains(enum, fields["object"])
}

// check is the part of JSON Schema that the document uses.
func (s spec) check(t *testing.T, at string, schema map[string]any, v any) {
	t.Helper()
	schema = s.resolve(schema)
	if forms, ok := schema["oneOf"].([]any); ok {
		for _, form := range forms {
			if form := s.resolve(form.(map[string]any)); isType(form["type"], v) && names(form, v) {
				s.check(t, at, form, v)
				return
			}
		}
		t.Errorf("%s has none of its forms: %v", at, v)
		return
	}
	if !isType(schema["type"], v) {
		t.Errorf("%s is %T, want %v", at, v, schema["type"])
		return
	}
	if enum, ok := schema["enum"].([]any); ok && !contains(enum, v) {
		t.Errorf("%s is %v, want one of %v", at, v, enum)
	}
	switch v := v.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, e := range v {
			s.check(t, at+"["+strconv.Itoa(i)+"]", items, e)
		}
	case map[string]any:
		s.checkObject(t, at, schema, v)
	}
}

func (s spec) checkObject(t *testing.T, at string, schema, v map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			t.Errorf("%s.%v is missing", at, name)
		}
	}
	for name, e := range v {
		if property, ok := properties[name].(map[string]any); ok {
			s.check(t, at+"."+name, property, e)
			continue
		}
		switch additional := schema["additionalProperties"].(type) {
		case map[string]any:
			s.check(t, at+"."+name, additional, e)
		case bool:
			if !additional {
				t.Errorf("%s.%s is not documented", at, name)
			}
		}
	}
}

func contains(all []any, v any) bool {
	for _, e := range all {
		if reflect.DeepEqual(e, v) {
			return true
		}
	}
	return false
}

func isType(want, v any) bool {
	switch want := want.(type) {
	case nil:
		return true
	case []any:
		for _, one := range want {
			if isType(one, v) {
				return true
			}
		}
		return false
	}
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case []any:
		return want == "array"
	default:
		return want == "object"
	}
}
