package faulttest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/sse"
)

// surface is a way to prompt a model and to read what comes of it. The table runs over each.
type surface struct {
	name   string
	prompt func(w *world, conversation, model string, stream bool) told
}

var surfaces = []surface{{"native", promptNative}}

// told is what a client was told of a prompt.
type told struct {
	// status is the answer's.
	status int
	// code is the failure's, empty for a success.
	code       string
	responseID string
	// text is the answer's, as far as it came.
	text string
}

func promptNative(w *world, conversation, model string, stream bool) told {
	w.t.Helper()
	resp, data := w.do(http.MethodPost, "/api/conversations/"+conversation+"/responses", fmt.Sprintf(`{"prompt":"Hello?","model":%q,"stream":%t}`, model, stream))
	if stream && resp.StatusCode == http.StatusOK {
		return readNative(w, data)
	}
	got := told{status: resp.StatusCode}
	if resp.StatusCode == http.StatusOK {
		var r api.Response
		w.decode(data, &r)
		got.responseID, got.text = r.ID, r.OutputText
		return got
	}
	var p api.Problem
	w.decode(data, &p)
	got.code, got.responseID = p.Code, p.ResponseID
	if p.Status != resp.StatusCode || p.Detail == "" || resp.Header.Get("X-Should-Retry") != "false" {
		w.t.Errorf("the problem is %+v, x-should-retry: %s", p, resp.Header.Get("X-Should-Retry"))
	}
	return got
}

var terminal = []string{"response.completed", "response.failed", "response.incomplete"}

// readNative reads an event stream, which must be numbered without a gap and end with its one terminal event.
func readNative(w *world, data []byte) told {
	w.t.Helper()
	got := told{status: http.StatusOK}
	events := sse.NewReader(strings.NewReader(string(data)))
	ended := ""
	var text strings.Builder
	for n := 0; ; n++ {
		ev, err := events.Next()
		if err != nil {
			break
		}
		var e struct {
			Type     string `json:"type"`
			Number   int    `json:"sequence_number"`
			Delta    string `json:"delta"`
			Response *api.Response
		}
		w.decode(ev.Data, &e)
		if string(ev.ID) != fmt.Sprint(n) || e.Number != n || string(ev.Type) != e.Type {
			w.t.Errorf("event %d is number %s, %d of type %s, %s", n, ev.ID, e.Number, ev.Type, e.Type)
		}
		if ended != "" {
			w.t.Errorf("%s after %s", e.Type, ended)
		}
		switch {
		case e.Type == "response.output_text.delta":
			text.WriteString(e.Delta)
		case slices.Contains(terminal, e.Type):
			ended = e.Type
			got.text = e.Response.OutputText
			if e.Response.Error != nil {
				got.code = e.Response.Error.Code
			}
			if (e.Type == "response.failed") != (got.code != "") {
				w.t.Errorf("%s with the code %q", e.Type, got.code)
			}
		}
		if e.Response != nil {
			got.responseID = e.Response.ID
		}
	}
	if ended == "" {
		w.t.Errorf("the stream has no terminal event: %s", data)
	}
	if text.String() != got.text {
		w.t.Errorf("%d bytes of text were streamed, the terminal event has %d", text.Len(), len(got.text))
	}
	return got
}
