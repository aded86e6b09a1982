package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
)

// pages reads a list to its end.
func pages[T any](t *testing.T, p *process, path string, query url.Values) []T {
	t.Helper()
	var all []T
	query.Set("limit", "100")
	for {
		page := decode[struct {
			api.Page
			Data []T `json:"data"`
		}](t, p.call(t, http.MethodGet, path+"?"+query.Encode(), ""), http.StatusOK)
		all = append(all, page.Data...)
		if !page.HasMore {
			return all
		}
		query.Set("after", *page.LastID)
	}
}

// check compares conversations with what was promised of them, and proves the audit log.
func (h *history) check(t *testing.T, p *process, data string, convs []string) {
	t.Helper()
	r := parleyHere(t, nil, "audit", "verify", "--json", "--store", filepath.Join(data, "parley.db"))
	var report audit.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != exitOK || !report.OK || report.Pending != 0 {
		t.Errorf("audit verify: exit %d, %v: %s%s", r.code, err, r.stdout, r.stderr)
	}
	for _, conv := range convs {
		h.checkConversation(t, p, conv)
	}
}

func (h *history) checkConversation(t *testing.T, p *process, id string) {
	t.Helper()
	conv := decode[api.Conversation](t, p.call(t, http.MethodGet, "/api/conversations/"+id, ""), http.StatusOK)
	messages := pages[api.Message](t, p, "/api/conversations/"+id+"/messages", url.Values{})
	responses := pages[api.Response](t, p, "/api/conversations/"+id+"/responses", url.Values{})
	promised := h.told[id]
	if conv.MessageCount != int64(len(messages)) {
		t.Errorf("%s: message_count %d, %d messages", id, conv.MessageCount, len(messages))
	}

	texts, byID := map[string]api.Message{}, map[string]api.Message{}
	seq := int64(0)
	for _, m := range messages {
		content := contentText(t, m)
		if m.Seq <= seq {
			t.Errorf("%s: seq %d behind %d", id, m.Seq, seq)
		}
		if _, twice := byID[m.ID]; twice {
			t.Errorf("%s: %s is there twice", id, m.ID)
		}
		if m.Role == "user" && !h.sent[content] {
			t.Errorf("%s: nobody has sent %q", id, content)
		}
		seq, byID[m.ID], texts[content] = m.Seq, m, m
	}
	behind := map[int]int64{}
	for _, said := range promised.messages {
		m, found := byID[said.id]
		if said.id == "" {
			m, found = texts[said.text]
		}
		if !found || contentText(t, m) != said.text {
			t.Errorf("%s: an acknowledged message is lost: %s %q", id, said.id, said.text)
			continue
		}
		if m.Seq <= behind[said.client] {
			t.Errorf("%s: messages of one client are out of order", id)
		}
		behind[said.client] = m.Seq
	}
	h.checkTurns(t, promised, byID, responses)

	turn := p.call(t, http.MethodPost, "/api/conversations/"+id+"/responses", `{"prompt":"still there?"}`)
	r := decode[api.Response](t, turn, http.StatusOK)
	h.note(id, func(told *told) {
		h.sent["still there?"] = true
		told.asked(-1, r, "still there?")
		told.answered(r)
	})
}

// checkTurns looks for a question without an end, an answer without a question, and an answer that was promised.
func (h *history) checkTurns(t *testing.T, promised *told, messages map[string]api.Message, responses []api.Response) {
	t.Helper()
	byID := map[string]api.Response{}
	for _, r := range responses {
		byID[r.ID] = r
		for _, input := range r.Input {
			if messages[input].ResponseID == nil || *messages[input].ResponseID != r.ID {
				t.Errorf("%s: its question %s is not in the conversation", r.ID, input)
			}
		}
		output := ""
		for _, m := range r.Output {
			output += contentText(t, messages[m.ID])
		}
		switch r.Status {
		case "completed":
			if len(r.Input) != 1 || len(r.Output) == 0 || output != r.OutputText {
				t.Errorf("%s: a torn turn: %d questions, output %q, messages %q", r.ID, len(r.Input), r.OutputText, output)
			}
		case "interrupted":
			h.interrupted[r.ID] = true
			if r.Error == nil || r.CompletedAt == nil || len(r.Input) != 1 {
				t.Errorf("%s is interrupted without a reason or a question: %+v", r.ID, r)
			}
		default:
			t.Errorf("%s is %s after a restart", r.ID, r.Status)
		}
	}
	for _, m := range messages {
		if m.ResponseID != nil && byID[*m.ResponseID].ID == "" {
			t.Errorf("%s belongs to the response %s, which is not there", m.ID, *m.ResponseID)
		}
		if m.Role == "assistant" && m.ResponseID == nil {
			t.Errorf("%s is an answer to nothing", m.ID)
		}
	}
	for _, want := range promised.responses {
		got, found := byID[want.id]
		if !found || want.whole && (got.Status != "completed" || got.OutputText != want.answer) {
			t.Errorf("%s: an acknowledged answer is lost: %q, have %s %q", want.id, want.answer, got.Status, got.OutputText)
		}
	}
}

// checkPairs counts the records: one intent and one outcome for each response that ever was.
func (h *history) checkPairs(t *testing.T, p *process) {
	t.Helper()
	type pair struct{ intents, outcomes int }
	pairs := map[string]pair{}
	for _, r := range pages[api.AuditRecord](t, p, "/api/audit/records", url.Values{"kind": {"llm.intent"}}) {
		pair := pairs[r.ResponseID]
		pair.intents++
		pairs[r.ResponseID] = pair
	}
	for _, r := range pages[api.AuditRecord](t, p, "/api/audit/records", url.Values{"kind": {"llm.outcome"}}) {
		pair := pairs[r.ResponseID]
		pair.outcomes++
		pairs[r.ResponseID] = pair
		if want := "unknown_after_crash"; h.interrupted[r.ResponseID] != (r.Status == want) {
			t.Errorf("%s: outcome %s %s, interrupted: %v", r.ResponseID, r.Status, r.ErrorCode, h.interrupted[r.ResponseID])
		}
	}
	for id, pair := range pairs {
		if pair.intents != 1 || pair.outcomes != 1 {
			t.Errorf("%s: %d intents, %d outcomes", id, pair.intents, pair.outcomes)
		}
	}
	for _, told := range h.told {
		for id := range told.responses {
			if pairs[id].intents != 1 {
				t.Errorf("%s was made without an intent", id)
			}
		}
	}
}

func contentText(t *testing.T, m api.Message) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(m.Content, &text); err == nil {
		return text
	}
	var parts []struct{ Text string }
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		t.Errorf("%s: content %s", m.ID, m.Content)
	}
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(part.Text)
	}
	return b.String()
}
