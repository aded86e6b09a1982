package upstream

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestProblemsAreReadInTheShapesThatAreAbout(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       problem
	}{
		{"OpenAI", `{"error":{"message":"m","type":"t","param":"p","code":"c"}}`, problem{"m", "t", "c", "p"}},
		{"llama.cpp: the code is a number, and there is no param", `{"error":{"code":400,"message":"m","type":"t"}}`, problem{"m", "t", "400", ""}},
		{"nulls", `{"error":{"message":"m","type":null,"param":null,"code":null}}`, problem{message: "m"}},
		{"Ollama's own", `{"error":"m"}`, problem{message: "m"}},
		{"old vLLM", `{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`, problem{"m", "BadRequestError", "400", ""}},
		{"FastAPI", `{"detail":"Not Found"}`, problem{message: "Not Found"}},
		{"FastAPI's validation", `{"detail":[{"msg":"m"}]}`, problem{message: `{"detail":[{"msg":"m"}]}`}},
		{"Gemini", ` [{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]`, problem{message: "m", code: "400"}},
		{"an error of another type", `{"error":{"message":{"a":1},"code":true}}`, problem{message: `{"error":{"message":{"a":1},"code":true}}`}},
		{"an error that is a list", `{"error":[1]}`, problem{message: `{"error":[1]}`}},
		{"Anthropic", `{"type":"error","error":{"type":"not_found_error","message":"model: m"},"request_id":"r"}`, problem{"model: m", "not_found_error", "", "model"}},
		{"Anthropic's, naming a place", `{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.1.text: m","details":null}}`, problem{"messages.0.content.1.text: m", "invalid_request_error", "", "messages.0.content.1.text"}},
		{"Anthropic's, with details", `{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}`, problem{"m", "rate_limit_error", "enforced_spend_limit_reached", ""}},
		{"Anthropic's, of a setting", "{\"error\":{\"message\":\"`temperature` is deprecated for this model.\"}}", problem{"`temperature` is deprecated for this model.", "", "", "temperature"}},
		{"Anthropic's, of a setting, plainly", `{"error":{"message":"top_p is deprecated for this model."}}`, problem{"top_p is deprecated for this model.", "", "", "top_p"}},
		{"Anthropic's, of a tool that is forced", `{"error":{"message":"Thinking may not be enabled when tool_choice forces tool use."}}`, problem{"Thinking may not be enabled when tool_choice forces tool use.", "", "", "tool_choice"}},
		{"Anthropic's, of one that no thinking allows", `{"error":{"message":"tool_choice: type \"tool\" and \"any\" are not supported for this model."}}`, problem{`tool_choice: type "tool" and "any" are not supported for this model.`, "", "", "tool_choice"}},
		{"a message that speaks of something else", `{"error":{"message":"secret temperature"}}`, problem{message: "secret temperature"}},
		{"a message that only looks like a place", `{"error":{"message":"secret: m"}}`, problem{message: "secret: m"}},
		{"a page", "<html>502</html>\n", problem{message: "<html>502</html>"}},
		{"nothing", "", problem{}},
	} {
		if got := parseProblem([]byte(tc.body)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDetailIsCutAndHoldsNoSecret(t *testing.T) {
	c, err := New(&Config{BaseURL: "http://llm.test", Key: "sk-test-key", Header: map[string]string{"X-Gateway": "Bearer token-of-the-gateway", "X-Beta": "1"}}, "/x", "an answer")
	if err != nil {
		t.Fatal(err)
	}
	got := c.detail("Incorrect key sk-test-key with token-of-the-gateway (Bearer token-of-the-gateway), 1. " + strings.Repeat("é", 2*maxDetail) + "\xff")
	if len(got) > maxDetail || !utf8.ValidString(got) || !strings.HasPrefix(got, "Incorrect key [key] with [header] ([header]), 1. é") {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 01 Jan 2024 00:00:00 GMT"
	for _, tc := range []struct {
		header http.Header
		want   time.Duration
	}{
		{http.Header{}, 0},
		{http.Header{"Retry-After": {"20"}}, 20 * time.Second},
		{http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond},
		{http.Header{"Retry-After": {"20"}, "Retry-After-Ms": {"1500"}}, 1500 * time.Millisecond},
		{http.Header{"Retry-After": {"20"}, "Retry-After-Ms": {"soon"}}, 20 * time.Second},
		{http.Header{"Retry-After": {"Mon, 01 Jan 2024 00:01:00 GMT"}, "Date": {date}}, time.Minute},
		{http.Header{"Retry-After": {"Sun, 31 Dec 2023 00:01:00 GMT"}, "Date": {date}}, 0},
		{http.Header{"Retry-After": {"Mon, 01 Jan 2024 00:01:00 GMT"}}, 0},
		{http.Header{"Retry-After": {"-1"}}, 0},
		{http.Header{"Retry-After": {"NaN"}}, 0},
		{http.Header{"Retry-After": {"1e300"}}, maxRetryAfter},
		{http.Header{"Retry-After": {"later"}}, 0},
	} {
		if got := retryAfter(tc.header); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.header, got, tc.want)
		}
	}
}
