package chat

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

func TestContentTextIsTheTextOfAMessage(t *testing.T) {
	for content, want := range map[string]string{
		``:               "",
		`"plain"`:        "plain",
		`"a \"b\"\nç 😀"`: "a \"b\"\nç 😀",
		`[{"type":"text","text":"one"},{"type":"image_url","image_url":{"url":"data:AAAA"}},{"type":"refusal","refusal":"no"}]`: "one\n[image_url]\nno",
		`{"not":"content"}`: "",
	} {
		if got := contentText(json.RawMessage(content)); got != want {
			t.Errorf("contentText(%s) = %q, want %q", content, got, want)
		}
	}
}

func TestQuoteGivesBackWhatItTook(t *testing.T) {
	for _, s := range []string{"", "plain", "<a href='x'>&amp;</a>", "tab\tnew\nline \"quoted\" \\ \u2028 \x01 é 😀"} {
		if got := unquote(quote(s)); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
	}
	if got := string(quote("<&>")); got != `"<&>"` {
		t.Errorf("a text is escaped more than JSON asks for: %s", got)
	}
}

func TestTitleIsTheStartOfTheFirstUserMessage(t *testing.T) {
	message := func(role llm.Role, text string) Item {
		return Item{Item: llm.Item{Type: llm.TypeMessage, Role: role, Content: quote(text)}}
	}
	long := strings.Repeat("é", 300)
	for _, test := range []struct {
		items []Item
		want  string
	}{
		{nil, ""},
		{[]Item{message(llm.System, "Be brief"), message(llm.User, "  Hello,\n\tworld \n")}, "Hello, world"},
		{[]Item{message(llm.Assistant, "Hi")}, ""},
		{[]Item{message(llm.User, long)}, long[:2*titleChars]},
		{[]Item{message(llm.User, strings.Repeat("a", titleChars-1)+" b")}, strings.Repeat("a", titleChars-1)},
		{[]Item{message(llm.User, "bell\x07 and more")}, "bell and more"},
		{[]Item{message(llm.User, "from \u202eright to left")}, "from right to left"},
	} {
		if got := titleOf(test.items); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestIDsSortByTheTimeTheyWereMadeAndNeverRepeat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	newID := NewID(func() time.Time { return now })
	seen, last := map[string]bool{}, ""
	for range 1000 {
		now = now.Add(time.Millisecond)
		id := newID(PrefixMessage)
		if len(id) != len("msg_")+26 || !strings.HasPrefix(id, "msg_") {
			t.Fatalf("malformed id %q", id)
		}
		if seen[id] || id <= last {
			t.Fatalf("%q does not come after %q", id, last)
		}
		seen[id], last = true, id
	}
}

func TestRetriesStayWithinATenthOfTheCallsAfterTheFirstTen(t *testing.T) {
	var b retryBudget
	taken := 0
	for range 100 {
		b.called()
		if b.take() {
			taken++
		}
	}
	if want := freeRetries + 100/callsPerRetry; taken != want {
		t.Errorf("%d retries for 100 calls, want %d", taken, want)
	}
}
