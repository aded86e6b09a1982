package server

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
)

// valid reads a body as huma does and says whether the schema lets it pass.
func valid(s *server, body []byte) (b api.NewResponse, ok bool) {
	var v any
	if json.Unmarshal(body, &v) != nil || json.Unmarshal(body, &b) != nil {
		return b, false
	}
	found := huma.ValidateResult{}
	path := huma.NewPathBuffer([]byte{}, 0)
	huma.Validate(s.registry, s.schema("NewResponse"), path, huma.ModeWriteToServer, v, &found)
	return b, len(found.Errors) == 0 && len(checkBody(&b)) == 0
}

func TestPlainPrompt(t *testing.T) {
	s := New(Config{}).(*server)
	for _, test := range []struct {
		body string
		ok   bool
	}{
		{`{"prompt":"Hello"}`, true},
		{" {\n\"prompt\" : \"Hello\" , \"stream\" : true ,\t\"model\" : \"mock\" } ", true},
		{`{"stream":false,"model":"","prompt":"\"\u00e9\ud83d\ude00\\"}`, true},
		{`{"pr\u006fmpt":"Hello"}`, true},
		{`{"prompt":"Hello","model":"` + strings.Repeat("m", 256) + `"}`, true},

		{`{"prompt":""}`, false},
		{`{"prompt":null}`, false},
		{`{"prompt":[{"role":"user","content":"Hello"}]}`, false},
		{`{"prompt":{}}`, false},
		{`{"prompt":1}`, false},
		{`{"model":"m"}`, false},
		{`{"prompt":"Hello","model":null}`, false},
		{`{"prompt":"Hello","model":7}`, false},
		{`{"prompt":"Hello","model":"` + strings.Repeat("é", 129) + `"}`, false},
		{`{"prompt":"Hello","stream":null}`, false},
		{`{"prompt":"Hello","stream":"true"}`, false},
		{`{"prompt":"Hello","stream":1}`, false},
		{`{"Prompt":"Hello"}`, false},
		{`{"prompt":"Hello","params":{}}`, false},
		{`{"prompt":"Hello","other":1}`, false},
		{`{}`, false},
		{`[]`, false},
		{`"prompt"`, false},
		{``, false},
	} {
		var got api.NewResponse
		if ok := plainPrompt([]byte(test.body), &got); ok != test.ok {
			t.Errorf("%s: got %v", test.body, ok)
		} else if ok {
			agree(t, s, []byte(test.body), &got)
		}
	}
}

func agree(t *testing.T, s *server, body []byte, got *api.NewResponse) {
	t.Helper()
	if want, ok := valid(s, body); !ok || !reflect.DeepEqual(*got, want) {
		t.Fatalf("%s: got %+v, huma has %+v, %v", body, *got, want, ok)
	}
}

func FuzzPlainPromptsAreWhatHumaTakesThemFor(f *testing.F) {
	s := New(Config{}).(*server)
	f.Add([]byte(`{"prompt":"Hello","model":"mock","stream":true}`))
	f.Add([]byte(` { "stream" : false , "prompt" : "\u00e9\n" } `))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got api.NewResponse
		if faults, err := scan(body, s.names); err == nil && len(faults) == 0 && plainPrompt(body, &got) {
			agree(t, s, body, &got)
		}
	})
}

// What a prompt's input gains, plainPrompts must fill or leave to huma, as it does whatever comes with a query.
func TestPlainPromptsKnowTheWholeInput(t *testing.T) {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[respondInput]()) {
		if !f.Anonymous {
			fields = append(fields, f.Name)
		}
	}
	if got := strings.Join(fields, " "); got != "ConversationID OnConflict Body" {
		t.Errorf("the input has the fields %s", got)
	}
}
