package chat

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
)

// Bounds of asking for a title.
const (
	titleTimeout = 30 * time.Second
	// titleTokens leaves room for a model that thinks first.
	titleTokens = 256
	// titleExcerpt is how much of the question, and of the answer, is sent, in code points.
	titleExcerpt = 2000
)

const titleInstructions = "Write a title for the conversation that the user quotes: at most six words, in the language of the conversation, " +
	"without quotation marks. Answer with the title alone."

// entitleTurn has a title made from a turn that was answered.
//
//go:noinline
func (s *Service) entitleTurn(ctx context.Context, run *Run, t *turn) {
	if r := run.Response(); r.Status == Completed {
		s.entitle(context.WithoutCancel(ctx), t, cmp.Or(t.answer, contentOf(r.Output)))
	}
}

// entitle asks the model of a turn for a title of its conversation. It is a call like any other, with its own response and its own pair of
// audit records, but beside the conversation, which goes on meanwhile. One that fails, or for which the server is too busy, is not made up for.
func (s *Service) entitle(ctx context.Context, t *turn, answer string) {
	if !s.admitAside() {
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	aside, err := s.beginAside(ctx, t, answer)
	if err != nil {
		s.leave(nil)
		stop(nil)
		s.Log.Debug("no title was asked for", "conversation_id", t.response.ConversationID, "error", err)
		return
	}
	run := newRun(aside.caller.Owner, aside.response, stop)
	run.aside = true
	s.enter(run)
	defer s.leave(run)
	defer stop(nil)
	ctx, timeout := context.WithTimeout(ctx, titleTimeout)
	defer timeout()
	r := s.newReply(run, aside)
	res := s.attempt(ctx, run, aside, r)
	s.observe(aside, res)
	s.end(ctx, run, aside, r, res)
}

// admitAside takes a place among the running responses, of which half are kept for prompts.
func (s *Service) admitAside() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.admitted >= s.UpstreamConcurrency/2 {
		return false
	}
	s.admitted++
	return true
}

func (s *Service) beginAside(ctx context.Context, t *turn, answer string) (*turn, error) {
	limit := int64(titleTokens)
	excerpt := titleExcerptOf(t.question, answer)
	request := &llm.Request{
		Model: t.call.Model, Instructions: titleInstructions, Params: llm.Params{MaxOutputTokens: &limit},
		Items: []llm.Item{{Type: llm.TypeMessage, Role: llm.User, Content: quote(excerpt)}},
	}
	body, err := t.endpoint.Provider.Encode(request)
	if err != nil {
		return nil, err
	}
	aside := &turn{
		caller: t.caller, endpoint: t.endpoint, info: t.info, prompt: &prompt{request: request}, call: &llm.Call{Model: t.call.Model, Body: body}, aside: true,
		response: Response{
			ID: s.NewID(PrefixResponse), Owner: t.response.Owner, ConversationID: t.response.ConversationID, Status: InProgress,
			Model: t.response.Model, Provider: t.response.Provider, Host: t.response.Host, Attempts: 1,
			RequestID: t.response.RequestID, Actor: t.response.Actor, CreatedAt: s.now(),
		},
	}
	// Masked whole and then cut: what is cut may not be found any more.
	masked := contain(func(c *pii.Counts) []byte {
		question, answer := s.Masker.AppendText(nil, t.question, c), s.Masker.AppendText(nil, answer, c)
		return []byte(titleExcerptOf(string(question), string(answer)))
	})
	aside.intent = s.intent(aside, &Conversation{}, masked)
	aside.intent.User = t.intent.User
	if !s.allow(aside) {
		return nil, s.unavailable(aside)
	}
	if err := s.Store.BeginAside(ctx, aside.response.Owner, nil, &aside.response, aside.intent); err != nil {
		aside.done(Inconclusive)
		return nil, err
	}
	return aside, nil
}

func titleExcerptOf(question, answer string) string {
	return "User: " + audit.CutHead(question, titleExcerpt) + "\n\nAssistant: " + audit.CutHead(answer, titleExcerpt)
}

// contentOf is the text of the first message among items.
func contentOf(items []Item) string {
	for i := range items {
		if items[i].Type == llm.TypeMessage {
			return contentText(items[i].Content)
		}
	}
	return ""
}

// modelTitle is what a model wrote as a title: its first line, without what models put around titles.
func modelTitle(text string) string {
	if _, thought, found := strings.Cut(text, "</think>"); found {
		text = thought
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return cutTitle(strings.Trim(line, " \t\r\"'`*#“”„«»"))
}
