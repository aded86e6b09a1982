package legacy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

var now = time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)

// fields are those that were noted, "+" ahead of the ones that were kept.
type fields map[string]int

func (f fields) note(kept bool, field string) {
	sign := "-"
	if kept {
		sign = "+"
	}
	f[sign+field]++
}

func (f fields) all() string { return strings.Join(slices.Sorted(maps.Keys(f)), " ") }

func convert(t *testing.T, mapped map[string]string, json string) (chat.Conversation, []chat.Item, fields) {
	t.Helper()
	c, items, noted, err := tryConvert(t, mapped, json)
	if err != nil {
		t.Fatal(err)
	}
	return c, items, noted
}

func tryConvert(t *testing.T, mapped map[string]string, json string) (chat.Conversation, []chat.Item, fields, error) {
	t.Helper()
	noted := fields{}
	c, items, err := newConverter(&Options{Database: "chat", Map: mapped, Now: func() time.Time { return now }}, noted.note).convert(parse(t, json))
	return c, items, noted, err
}

func parse(t *testing.T, json string) bson.D {
	t.Helper()
	var doc bson.D
	if err := bson.UnmarshalExtJSON([]byte(json), false, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// spoken are the items in short: role and content, or the data of what is no message.
func spoken(items []chat.Item) []string {
	var all []string
	for i := range items {
		if items[i].Type == llm.TypeMessage {
			all = append(all, string(items[i].Role)+" "+string(items[i].Content))
		} else {
			all = append(all, string(items[i].Data))
		}
	}
	return all
}

func TestAConversationAsTheServiceKeptIt(t *testing.T) {
	c, items, noted := convert(t, nil, `{
		"_id": {"$oid": "5f5e10000000000000000001"}, "name": "Harbour", "params": {"model": "gpt-4", "temperature": 0.5, "max_tokens": 200, "stop": "END", "n": 2},
		"tokens": 321, "prompts": [
			{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello <\u0000>", "created_at": {"$date": "2024-02-03T04:05:06.789Z"}},
			{"role": "assistant", "content": "Hi.", "created_at": "2024-02-03 04:05:08", "rating": 5}],
		"tags": ["a", "b"], "revision_id": null, "_class_id": "Conversation"}`)
	if c.Title != "Harbour" || c.Model != "gpt-4" || *c.Params.Temperature != 0.5 || *c.Params.MaxOutputTokens != 200 || c.Params.Stop[0] != "END" || c.Usage.TotalTokens != 321 {
		t.Errorf("%+v", c)
	}
	if want := time.Unix(0x5f5e1000, 0).UTC(); !c.CreatedAt.Equal(want) || !items[0].CreatedAt.Equal(want) {
		t.Errorf("created at %v, its first message at %v; the ObjectId says %v", c.CreatedAt, items[0].CreatedAt, want)
	}
	if want := time.Date(2024, 2, 3, 4, 5, 8, 0, time.UTC); !c.UpdatedAt.Equal(want) || !items[2].CreatedAt.Equal(want) {
		t.Errorf("last active at %v", c.UpdatedAt)
	}
	if got, want := spoken(items), []string{`system "Be brief."`, "user \"Hello <\uFFFD>\"", `assistant "Hi."`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := c.Metadata; got["imported_id"] != "5f5e10000000000000000001" || got["tags"] != `["a","b"]` || got["params.n"] != "2" || len(got) != 3 {
		t.Errorf("metadata %v", got)
	}
	if items[2].Metadata["rating"] != "5" {
		t.Errorf("metadata %v", items[2].Metadata)
	}
	if noted.all() != "+conversations.params.n +conversations.tags +messages.rating" {
		t.Error(noted.all())
	}
}

func TestTheSameDocumentHasTheSameIDs(t *testing.T) {
	const doc = `{"_id": {"$oid": "5f5e10000000000000000001"}, "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "a"}]}`
	c, items, _ := convert(t, nil, doc)
	again, itemsAgain, _ := convert(t, map[string]string{"x": "title"}, doc)
	if c.ID != again.ID || items[0].ID != itemsAgain[0].ID || items[1].ID != itemsAgain[1].ID {
		t.Error("other ids at the second time")
	}
	if items[0].ID == items[1].ID {
		t.Error("two messages have one id")
	}
	other, _, _ := convert(t, nil, `{"_id": {"$oid": "5f5e10000000000000000002"}}`)
	named, _, _ := convert(t, nil, `{"_id": "5f5e1"}`)
	ids := []string{c.ID, other.ID, named.ID}
	if slices.Sort(ids); len(slices.Compact(ids)) != 3 || len(c.ID) != len("conv_")+26 {
		t.Errorf("%v", ids)
	}
}

func TestUsualSpellingsAndThoseOfMap(t *testing.T) {
	c, items, noted := convert(t, map[string]string{"topic": "title", "speaker": "role", "robot": "assistant", "lines": "messages"}, `{
		"_id": "a", "topic": "Ships", "createdAt": 1706933106, "updated": 1706933107123, "userId": {"$oid": "5f5e10000000000000000009"},
		"tokens": {"prompt_tokens": 5, "completion_tokens": 7}, "metadata": {"team": "red", "n": 1},
		"lines": [{"speaker": "Human", "text": "Ahoy"}, {"speaker": "robot", "content": ["a", "b"], "timestamp": {"$timestamp": {"t": 1706933108, "i": 1}}}]}`)
	if c.Title != "Ships" || c.User != "5f5e10000000000000000009" || c.Usage != (llm.Usage{InputTokens: 5, OutputTokens: 7, TotalTokens: 12}) || c.Metadata["team"] != "red" || c.Metadata["n"] != "1" {
		t.Errorf("%+v", c)
	}
	if c.CreatedAt.Unix() != 1706933106 || c.UpdatedAt.UnixMilli() != 1706933107123 || items[1].CreatedAt.Unix() != 1706933108 {
		t.Errorf("created %v, updated %v", c.CreatedAt, c.UpdatedAt)
	}
	if got, want := spoken(items), []string{`user "Ahoy"`, `assistant "[\"a\",\"b\"]"`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(noted) != 0 {
		t.Error(noted.all())
	}
}

func TestFunctionsAreCallsAndOutputsWhereTheyMatch(t *testing.T) {
	_, items, noted := convert(t, nil, `{"_id": "a", "messages": [
		{"role": "assistant", "content": null, "function_call": {"name": "tide", "arguments": "{\"port\":\"X\"}"}}, {"role": "function", "name": "tide", "content": "high"},
		{"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "wind", "arguments": "{}"}}]},
		{"role": "tool", "tool_call_id": "c1", "content": "calm"}, {"role": "function", "name": "tide", "content": "lost"}]}`)
	want := []string{
		`{"type":"function_call","call_id":"call_1_0","name":"tide","arguments":"{\"port\":\"X\"}"}`, `{"type":"function_call_output","call_id":"call_1_0","output":"high"}`,
		`assistant "Let me see."`, `{"type":"function_call","call_id":"c1","name":"wind","arguments":"{}"}`, `{"type":"function_call_output","call_id":"c1","output":"calm"}`,
		`tool "lost"`,
	}
	if got := spoken(items); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if items[5].Metadata["name"] != "tide" || noted.all() != "+messages.name" {
		t.Errorf("%v, %s", items[5].Metadata, noted.all())
	}
}

func TestWhatCannotBeKeptIsNotedAndNothingIsGuessed(t *testing.T) {
	c, items, noted := convert(t, nil, `{"_id": "a", "name": "`+strings.Repeat("x", 300)+`", "params": {"temperature": 7, "stop": ["a", "b", "c", "d", "e"]}, "tokens": "many",
		"created_at": "yesterday", "blob": "`+strings.Repeat("y", 600)+`", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]}, {"role": "assistant", "content": ""}]}`)
	if c.Title != "" || c.Params.Temperature != nil || c.Params.Stop != nil || !c.CreatedAt.Equal(now) {
		t.Errorf("%+v", c)
	}
	if got, want := spoken(items), []string{`user [{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]`, `assistant ""`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := noted.all(); got != "+conversations.created_at +conversations.name +conversations.params.stop +conversations.params.temperature +conversations.tokens -conversations.blob" {
		t.Error(got)
	}
	for reason, doc := range map[string]string{
		"message 1: the role \"pirate\" is not known": `{"_id": "a", "messages": [{"role": "pirate", "content": "x"}]}`,
		"message 2: it has no role":                   `{"_id": "a", "messages": [{"role": "user", "content": "x"}, {"content": "x"}]}`,
		"message 1 is no document":                    `{"_id": "a", "messages": ["x"]}`,
		"it has no _id":                               `{"messages": []}`,
	} {
		if _, _, _, err := tryConvert(t, nil, doc); err == nil || !strings.HasPrefix(err.Error(), reason) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestACallOfTheAuditLog(t *testing.T) {
	noted := fields{}
	converter := newConverter(&Options{Database: "chat", Now: func() time.Time { return now }}, noted.note)
	conv, _, err := converter.convert(parse(t, `{"_id": {"$oid": "5f5e10000000000000000001"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{`{"$oid": "5f5e10000000000000000001"}`, `"5f5e10000000000000000001"`, `{"$ref": "conversations", "$id": {"$oid": "5f5e10000000000000000001"}}`} {
		call, err := converter.importedCall(parse(t, `{"_id": {"$oid": "5f5e10000000000000000007"}, "conversation_id": `+reference+`, "model": "gpt-4",
			"request": [{"role": "user", "content": "Hello"}, {"role": "user", "content": [{"type": "text", "text": "there"}]}], "response": {"content": "Hi"}, "timestamp": "2024-02-03T04:05:06", "ip": "10.0.0.1"}`))
		if err != nil {
			t.Fatal(err)
		}
		want := chat.ImportedCall{ID: call.ID, Time: time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC), ConversationID: conv.ID, Model: "gpt-4", Prompt: "Hello\nthere", Response: "Hi"}
		if call != want || !strings.HasPrefix(call.ID, "aud_") {
			t.Errorf("%s: %+v", reference, call)
		}
	}
	if noted.all() != "-audit_logs.ip" {
		t.Error(noted.all())
	}
}

func TestMapNamesOnlyWhatThereIs(t *testing.T) {
	if err := CheckMap(map[string]string{"topic": "title", "robot": "assistant", "q": "prompt", "temp": "temperature"}); err != nil {
		t.Error(err)
	}
	for _, to := range []string{"titel", "", "_id"} {
		if err := CheckMap(map[string]string{"topic": to}); err == nil || !strings.Contains(err.Error(), "title") {
			t.Errorf("topic=%s: %v", to, err)
		}
	}
}
