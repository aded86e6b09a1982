package legacy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// spellings are the names that a field of each kind of document goes by, besides its own. Case and underscores do not count.
type spellings map[string][]string

var (
	ofConversation = spellings{
		"title": {"name"}, "model": nil, "instructions": {"system_prompt"}, "user": {"user_id"}, "metadata": nil,
		"params": {"parameters", "settings"}, "tokens": {"token_count", "usage", "total_tokens"}, "messages": {"prompts", "history"},
		"created_at": {"created", "timestamp"}, "updated_at": {"updated", "modified_at"},
	}
	ofParams = spellings{
		"model": nil, "temperature": nil, "top_p": nil, "max_output_tokens": {"max_tokens", "max_completion_tokens"}, "stop": nil, "seed": nil,
		"presence_penalty": nil, "frequency_penalty": nil, "response_format": nil,
	}
	ofMessage = spellings{
		"role": nil, "content": {"text"}, "name": nil, "model": nil, "metadata": nil, "function_call": nil, "tool_calls": nil, "tool_call_id": nil,
		"created_at": {"created", "timestamp"},
	}
	ofCall = spellings{
		"conversation_id": {"conversation"}, "prompt": {"request"}, "response": {"reply", "completion"}, "model": nil,
		"created_at": {"created", "timestamp"},
	}
)

// roles are what a message's role is called, besides the name that it has here.
var roles = map[string]llm.Role{
	"system": llm.System, "developer": llm.Developer, "user": llm.User, "assistant": llm.Assistant, "tool": llm.Tool,
	"function": llm.Tool, "human": llm.User, "ai": llm.Assistant, "bot": llm.Assistant,
}

// internals are fields that frameworks keep for themselves.
var internals = []string{"_id", "_class_id", "revision_id", "__v"}

// names finds fields by all their spellings, and by those that --map adds.
type names map[string]string

func (s spellings) names(mapped map[string]string) names {
	n := names{}
	for name, others := range s {
		n[plain(name)] = name
		for _, other := range others {
			n[plain(other)] = name
		}
	}
	for from, to := range mapped {
		if _, ours := s[to]; ours {
			n[plain(from)] = to
		}
	}
	return n
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// CheckMap refuses what --map cannot mean.
func CheckMap(mapped map[string]string) error {
	known := map[string]bool{}
	for _, s := range []spellings{ofConversation, ofParams, ofMessage, ofCall} {
		for name := range s {
			known[name] = true
		}
	}
	for role := range roles {
		known[role] = true
	}
	for _, from := range slices.Sorted(maps.Keys(mapped)) {
		if to := mapped[from]; !known[to] || from == "" {
			return fmt.Errorf("--map %s=%s: there is no such field and no such role; there are %s", from, to,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// document is one whose fields are found by their meaning. What nobody has taken from it in the end is what is not known.
type document struct {
	names  names
	fields bson.D
	taken  []bool
}

func (n names) document(d bson.D) *document {
	return &document{names: n, fields: d, taken: make([]bool, len(d))}
}

// take returns the first field of a meaning that has a value which read accepts. The others of that meaning stay.
func take[T any](d *document, name string, read func(any) (T, bool)) (T, bool) {
	var none T
	for i, e := range d.fields {
		if d.taken[i] || d.names[plain(e.Key)] != name {
			continue
		}
		if e.Value == nil {
			d.taken[i] = true
			continue
		}
		if value, accepted := read(e.Value); accepted {
			d.taken[i] = true
			return value, true
		}
	}
	return none, false
}

// rest calls yield with the fields that nobody has taken and that hold something.
func (d *document) rest(yield func(name string, value any)) {
	for i, e := range d.fields {
		if !d.taken[i] && e.Value != nil && !slices.Contains(internals, e.Key) {
			yield(e.Key, e.Value)
		}
	}
}

func asDocument(v any) (bson.D, bool) { d, ok := v.(bson.D); return d, ok }
func asArray(v any) (bson.A, bool)    { a, ok := v.(bson.A); return a, ok }
func anything(v any) (any, bool)      { return v, true }

// keeper gathers metadata within its limits, and notes what came to it and what did not fit.
type keeper struct {
	pairs map[string]string
	note  func(kept bool, field string)
	// where is ahead of a field's name in what is noted.
	where string
}

// keep adds one pair under a name, noted as a field.
func (k *keeper) keep(name, value, field string) {
	fits := len(k.pairs) < chat.MaxMetadataPairs && len([]rune(name)) <= chat.MaxMetadataKey && len([]rune(value)) <= chat.MaxMetadataValue
	if _, twice := k.pairs[name]; twice || name == "" {
		fits = false
	}
	if fits {
		if k.pairs == nil {
			k.pairs = map[string]string{}
		}
		k.pairs[clean(name)] = value
	}
	if field != "" {
		k.note(fits, k.where+field)
	}
}

// metadata keeps the pairs of a document's field of that name, and rest what else is not known.
func (k *keeper) metadata(d *document) {
	if pairs, found := take(d, "metadata", asDocument); found {
		for _, e := range pairs {
			before := len(k.pairs)
			k.keep(e.Key, shown(e.Value), "")
			if len(k.pairs) == before {
				k.note(false, k.where+"metadata."+e.Key)
			}
		}
	}
}

func (k *keeper) rest(d *document, prefix string) {
	d.rest(func(name string, value any) { k.keep(prefix+name, shown(value), prefix+name) })
}
