package terminal

import (
	"encoding/json"
	"iter"
	"strings"

	"github.com/parley-llm/parley/api"
)

// answer writes one answer as its events come.
type answer struct {
	session *Session
	// response is the id, as soon as it is known; seq the number of the last event.
	response string
	seq      int64
	// open: the last line has no end yet.
	open bool
}

func (a *answer) read(events iter.Seq2[api.Event, error]) error {
	for ev, err := range events {
		if err != nil {
			return err
		}
		a.seq = ev.SequenceNumber
		if ev.Response != nil {
			a.response = ev.Response.ID
		}
		if err := a.show(&ev); err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) show(ev *api.Event) error {
	switch ev.Type {
	case api.EventTextDelta, api.EventRefusalDelta:
		return a.write(ev.Delta)
	case api.EventItemDone:
		if name, arguments, ok := toolCall(ev.Item); ok {
			a.end()
			a.session.note("(the model calls %s with %s; nothing is carried out here)", safe(name), safe(arguments))
		}
	case api.EventIncomplete:
		a.end()
		reason := "incomplete"
		if ev.Response != nil && ev.Response.FinishReason != nil {
			reason = *ev.Response.FinishReason
		}
		if reason == "length" {
			reason = "it is as long as the model may make it"
		}
		a.session.note("(the answer was cut off: %s)", safe(reason))
	}
	return nil
}

func (a *answer) write(text string) error {
	if !a.session.Plain {
		text = safe(text)
	}
	if text == "" {
		return nil
	}
	a.open = !strings.HasSuffix(text, "\n")
	_, err := a.session.Out.Write([]byte(text))
	return err
}

// end ends the line.
func (a *answer) end() {
	if a.open {
		_ = a.write("\n")
	}
}

// toolCall is the call that a message stands for, if it is one.
func toolCall(m *api.Message) (name, arguments string, ok bool) {
	if m == nil {
		return "", "", false
	}
	var parts []struct{ Type, Name, Arguments string }
	if json.Unmarshal(m.Content, &parts) != nil || len(parts) != 1 || !strings.HasSuffix(parts[0].Type, "_call") {
		return "", "", false
	}
	return parts[0].Name, parts[0].Arguments, true
}
