package crashtest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/parley-llm/parley/api"
)

// Invariant names what must hold whatever happens to a server.
type Invariant string

// The invariants.
const (
	AcknowledgedIsStored Invariant = "acknowledged is stored"
	NothingIsMadeUp      Invariant = "nothing is there that nobody sent"
	NoTornTurn           Invariant = "no torn turn"
	SeqIncreases         Invariant = "seq is strictly increasing"
	IntentBeforeCall     Invariant = "each call has an earlier intent"
	OneOutcome           Invariant = "each intent has one outcome"
	ChainVerifies        Invariant = "the chain verifies"
	OneRunning           Invariant = "at most one running response per conversation"
	EventsOnce           Invariant = "each event is there once"
	Sound                Invariant = "the database is sound"
)

// Violation is what was found.
type Violation struct {
	Invariant Invariant
	Detail    string
}

func (v Violation) String() string { return string(v.Invariant) + ": " + v.Detail }

// findings collects violations.
type findings struct{ list []Violation }

func (f *findings) add(i Invariant, format string, args ...any) {
	f.list = append(f.list, Violation{i, fmt.Sprintf(format, args...)})
}

// Conversations are the ids of all that were acknowledged.
func (p *Promise) Conversations() []string { return slices.Sorted(maps.Keys(p.conversations)) }

// CheckServer looks through the API, as a client does, whether a server that has started anew holds what is promised of some
// conversations. No response runs on it.
func (p *Promise) CheckServer(ctx context.Context, c *api.Client, conversations []string) []Violation {
	f := &findings{}
	for _, text := range p.Violations {
		f.add(AcknowledgedIsStored, "%s", text)
	}
	for _, id := range conversations {
		p.checkConversation(ctx, f, c, p.of(id))
	}
	return f.list
}

func (p *Promise) checkConversation(ctx context.Context, f *findings, c *api.Client, want *conversation) {
	conv, err := c.Conversation(ctx, want.id)
	switch {
	case api.ErrorCode(err) == "conversation_not_found":
		if !want.may && !want.gone {
			f.add(AcknowledgedIsStored, "%s is lost", want.id)
		}
		return
	case err != nil:
		f.add(AcknowledgedIsStored, "%s cannot be read: %v", want.id, err)
		return
	case want.gone:
		f.add(AcknowledgedIsStored, "%s is there after its deletion was acknowledged", want.id)
		return
	}
	v := &view{findings: f, promise: p, want: want, messages: map[string]*api.Message{}, responses: map[string]*api.Response{}}
	for m, err := range c.AllMessages(ctx, want.id, api.ListQuery{Limit: 100}) {
		if err != nil {
			f.add(AcknowledgedIsStored, "the messages of %s cannot be read: %v", want.id, err)
			return
		}
		v.message(&m)
	}
	q := api.ListQuery{Limit: 100}
	for more := true; more; {
		list, err := c.Responses(ctx, want.id, q)
		if err != nil {
			f.add(AcknowledgedIsStored, "the responses of %s cannot be read: %v", want.id, err)
			return
		}
		for i := range list.Data {
			v.responses[list.Data[i].ID] = &list.Data[i]
		}
		if more = list.HasMore; more {
			q.After = *list.LastID
		}
	}
	if conv.MessageCount != int64(len(v.order)) {
		f.add(Sound, "%s has %d messages and counts %d", want.id, len(v.order), conv.MessageCount)
	}
	v.checkMessages()
	v.checkResponses(ctx, c)
}

// view is a conversation as a client sees it.
type view struct {
	*findings
	promise   *Promise
	want      *conversation
	order     []*api.Message
	messages  map[string]*api.Message
	responses map[string]*api.Response
}

func (v *view) message(m *api.Message) {
	if n := len(v.order); n > 0 && m.Seq <= v.order[n-1].Seq {
		v.add(SeqIncreases, "%s: %s has seq %d, behind %d", v.want.id, m.ID, m.Seq, v.order[n-1].Seq)
	}
	if v.messages[m.ID] != nil {
		v.add(SeqIncreases, "%s: %s is there twice", v.want.id, m.ID)
	}
	v.order, v.messages[m.ID] = append(v.order, m), m
}

func (v *view) checkMessages() {
	texts, seqs := map[string]*api.Message{}, map[int64]string{}
	for _, m := range v.order {
		text := m.Text()
		if m.Role == "user" && texts[text] != nil {
			v.add(NothingIsMadeUp, "%s: %q is there twice, and was sent once: %s, %s", v.want.id, short(text), texts[text].ID, m.ID)
		}
		texts[text], seqs[m.Seq] = m, m.ID
		if m.Role == "user" && !v.promise.sent[text] {
			v.add(NothingIsMadeUp, "%s: %s says %q", v.want.id, m.ID, short(text))
		}
	}
	behind := map[int]int64{}
	for _, want := range v.want.messages {
		m := v.messages[want.id]
		if want.id == "" {
			m = texts[want.texts[0]]
		}
		switch {
		case m == nil && !want.may && !want.gone:
			v.add(AcknowledgedIsStored, "%s: message %s %q is lost", v.want.id, want.id, short(want.texts[0]))
		case m == nil:
			if id := seqs[want.seq]; want.seq != 0 && id != "" {
				v.add(SeqIncreases, "%s: seq %d was %s's, which is deleted, and is %s's now", v.want.id, want.seq, want.id, id)
			}
		case want.gone:
			v.add(AcknowledgedIsStored, "%s: message %s is there after its deletion was acknowledged", v.want.id, want.id)
		case !slices.Contains(want.texts, m.Text()):
			v.add(AcknowledgedIsStored, "%s: message %s says %q and should say %q", v.want.id, m.ID, short(m.Text()), short(want.texts[len(want.texts)-1]))
		case want.seq != 0 && m.Seq != want.seq:
			v.add(SeqIncreases, "%s: message %s had seq %d and has %d", v.want.id, m.ID, want.seq, m.Seq)
		case want.client != nobody && m.Seq <= behind[want.client]:
			v.add(SeqIncreases, "%s: the messages of a client are out of order at %s", v.want.id, m.ID)
		case want.client != nobody:
			behind[want.client] = m.Seq
		}
	}
}

// settled are the states in which a response that has not failed may be found after a start.
var settled = []string{"completed", "interrupted", "failed", "incomplete", "cancelled"}

func (v *view) checkResponses(ctx context.Context, c *api.Client) {
	for _, r := range v.responses {
		known := v.want.responses[r.ID]
		if !slices.Contains(settled, r.Status) {
			v.add(NoTornTurn, "%s is %s after a start", r.ID, r.Status)
		}
		if r.CompletedAt == nil || r.Error == nil && (r.Status == "failed" || r.Status == "interrupted") {
			v.add(NoTornTurn, "%s is %s without a reason or a time: %+v", r.ID, r.Status, r.Error)
		}
		if known == nil || !known.touched {
			v.checkTurn(r)
		}
	}
	for _, m := range v.order {
		// What was copied has its response where it was copied from.
		if m.Seq <= v.want.copied {
			continue
		}
		if m.ResponseID != nil && v.responses[*m.ResponseID] == nil {
			v.add(NoTornTurn, "%s: %s belongs to %s, which is not there", v.want.id, m.ID, *m.ResponseID)
		}
		if m.Role == "assistant" && m.ResponseID == nil {
			v.add(NoTornTurn, "%s: %s is an answer to nothing", v.want.id, m.ID)
		}
	}
	for _, want := range v.want.responses {
		got := v.responses[want.id]
		switch {
		case !want.asked:
		case got == nil:
			v.add(AcknowledgedIsStored, "%s: the response %s is lost", v.want.id, want.id)
		case want.whole && got.Status != want.status:
			v.add(AcknowledgedIsStored, "%s: %s was %s and is %s", v.want.id, want.id, want.status, got.Status)
		case want.whole && !want.touched && !want.untold && got.OutputText != want.text:
			v.add(AcknowledgedIsStored, "%s: the answer of %s is lost: it is %s, %q", v.want.id, want.id, got.Status, short(got.OutputText))
		case want.logged && !want.touched:
			v.checkEvents(ctx, c, got)
		}
	}
}

// checkEvents reads the events of a response again: none twice, one end, and the text that is stored.
func (v *view) checkEvents(ctx context.Context, c *api.Client, r *api.Response) {
	last, text, ended := int64(-1), "", false
	for ev, err := range c.Events(ctx, r.ID, -1) {
		if ended {
			// What follows is the failure, as an error.
			break
		}
		if err != nil {
			v.add(EventsOnce, "the events of %s break off behind %d: %v", r.ID, last, err)
			return
		}
		if ev.SequenceNumber <= last {
			v.add(EventsOnce, "%s: event %d comes behind %d", r.ID, ev.SequenceNumber, last)
		}
		last, ended = ev.SequenceNumber, ev.Last()
		if ev.Type == api.EventTextDelta {
			text += ev.Delta
		}
		if ended && (ev.Response == nil || ev.Response.Status != r.Status) {
			v.add(EventsOnce, "%s is %s, and its last event says something else", r.ID, r.Status)
		}
	}
	if text != r.OutputText {
		v.add(EventsOnce, "%s: the events say %q, and stored is %q", r.ID, short(text), short(r.OutputText))
	}
}

// checkTurn looks at a turn of which nothing was edited or deleted.
func (v *view) checkTurn(r *api.Response) {
	if len(r.Input) != 1 || v.messages[r.Input[0]] == nil {
		v.add(NoTornTurn, "%s has no question: %v", r.ID, r.Input)
		return
	}
	question := v.messages[r.Input[0]]
	if question.ResponseID == nil || *question.ResponseID != r.ID {
		v.add(NoTornTurn, "%s: its question %s is not its own", r.ID, question.ID)
	}
	output := ""
	for _, m := range r.Output {
		if v.messages[m.ID] == nil {
			v.add(NoTornTurn, "%s: its answer %s is not in the conversation", r.ID, m.ID)
			return
		}
		output += v.messages[m.ID].Text()
	}
	whole := Reply(question.Text())
	if r.Status == "completed" && output != whole || len(output) > len(whole) || output != whole[:len(output)] {
		v.add(NoTornTurn, "%s is %s with %q for %q", r.ID, r.Status, short(output), short(whole))
	}
}

// Probe has a further turn on each conversation that is there: a crash leaves none locked.
func Probe(ctx context.Context, c *api.Client, h *History, conversations []string) []Violation {
	f := &findings{}
	for _, id := range conversations {
		text := fmt.Sprintf("Still there? %s %d", id, h.calls())
		call := h.Note(Entry{Client: nobody, Op: OpPrompt, State: Sent, Conversation: id, Messages: []Message{{Text: text}}})
		r, err := c.Respond(ctx, id, api.NewResponse{Prompt: api.Text(text)})
		e := asked(&r)
		e.Call, e.Client, e.Op, e.State = call, nobody, OpPrompt, Acknowledged
		if err != nil {
			e.State, e.Code = Refused, api.ErrorCode(err)
			if e.Code != "conversation_not_found" {
				e.State = Unknown
				f.add(NoTornTurn, "%s takes no further turn: %v", id, err)
			}
		}
		h.Note(e)
	}
	return f.list
}

// Client is a client of the server at url.
func Client(url string) *api.Client {
	return &api.Client{BaseURL: url, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}
