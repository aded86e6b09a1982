package api_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/parley-llm/parley/api"
)

func TestAnOptionalFieldIsLeftOutOrNullOrAValue(t *testing.T) {
	for _, test := range []struct {
		json string
		want api.Optional[string]
	}{
		{`{}`, api.Optional[string]{}},
		{`{"title":null}`, api.Null[string]()},
		{`{"title":"x"}`, api.Some("x")},
		{`{"title":""}`, api.Some("")},
	} {
		var p api.ConversationPatch
		if err := json.Unmarshal([]byte(test.json), &p); err != nil || p.Title != test.want {
			t.Errorf("%s: %+v %v", test.json, p.Title, err)
		}
		if back, err := json.Marshal(p); err != nil || string(back) != test.json {
			t.Errorf("%s came back as %s %v", test.json, back, err)
		}
	}
	var p api.ConversationPatch
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal([]byte(`{"params":{"top_p":"x"}}`), &p); !errors.As(err, &wrong) || wrong.Field != "params.top_p" {
		t.Errorf("%v", err)
	}
	if _, err := json.Marshal(api.Some(func() {})); err == nil {
		t.Error("a function was encoded")
	}
	if back, err := json.Marshal(api.Optional[int]{}); err != nil || string(back) != "null" {
		t.Errorf("%s %v", back, err)
	}
}

func TestIntegersAreReadFromNumbersThatAreOne(t *testing.T) {
	for in, want := range map[string]api.Integer{
		"0": 0, "-7": -7, "1.0": 1, "-0.0": 0, "1e3": 1000, "2.5e1": 25, "9223372036854775807": 1<<63 - 1, "9007199254740992.0": 1 << 53,
	} {
		var got api.Integer
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s: %d %v", in, got, err)
		}
	}
	for _, in := range []string{"1.5", "1e300", "1e-1", "9223372036854775808", `"1"`, "true", "{}", "1e400"} {
		var got api.Integer
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("%s: %d", in, got)
		}
	}
	var p api.Params
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal([]byte(`{"seed":1.5}`), &p); !errors.As(err, &wrong) || wrong.Field != "seed" {
		t.Errorf("%v", err)
	}
}

func TestAProblemIsAnError(t *testing.T) {
	var err error = &api.Problem{Code: "conversation_not_found", Detail: "There is no such conversation."}
	if err.Error() != "conversation_not_found: There is no such conversation." {
		t.Error(err)
	}
}
