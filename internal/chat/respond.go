package chat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// maxStale bounds how often a turn is prepared anew because the conversation changed between reading and beginning.
const maxStale = 10

// Request is a prompt: everything Respond needs. Empty and nil overrides leave the conversation's settings in force.
type Request struct {
	Caller         Caller
	ConversationID string
	// Input items, at least one: Type, Role, Content or Data, and Metadata are the caller's; the rest is set here.
	Input []Item
	// Regenerate runs the last turn's input again, in the place of Input. When the new response answers, it supersedes the old output.
	Regenerate   bool
	Model        string
	Instructions *string
	// Params override the conversation's key by key.
	Params     llm.Params
	Tools      json.RawMessage
	ToolChoice json.RawMessage
	// Stream has the answer made piece by piece, for a reader of its events.
	Stream bool
	// Background: nobody waits for the answer. It is made piece by piece, too.
	Background bool
	// Unstored has nothing kept but the audit records: the conversation is read, not locked and not changed, and the
	// response is stopped when its reader goes.
	Unstored bool
	// Wait has the prompt wait for its turn while a response runs on the conversation, up to half a minute.
	Wait bool
}

func (r *Request) streamed() bool { return r.Stream || r.Background }

// turn is a prompt on its way through: what was begun, and what every attempt sends.
type turn struct {
	caller   Caller
	endpoint llm.Endpoint
	info     llm.ModelInfo
	// prompt is what the call's bytes were made from; nil once the model has answered, and sent what is left of it.
	prompt *prompt
	sent   sent
	// trims counts how often it was shortened because the provider found it too long.
	trims    int
	call     *llm.Call
	response Response
	intent   audit.Record
	seq      int64 // of the first output item
	// question is what a title is made from after the turn; empty where none is to be made. answer is the beginning of a large answer, for that.
	question, answer string
	// aside: this is no turn of the conversation but the making of its title. again: it is run again.
	aside, again bool
	// fallbacks are the models that are left to try when this one fails.
	fallbacks []string
	// done takes how the attempt went that was allowed; see Breakers.
	done func(Verdict)
}

// Respond begins a response and returns it running. When Respond returns without an error the question is stored, the
// conversation is locked and the audit intent is durable; after an error nothing of it is stored and no model was called.
// The run does not end with ctx.
//
// A request that was sent before, as the caller's Idempotency tells, gets the response that it has begun then.
func (s *Service) Respond(ctx context.Context, req Request) (*Run, error) {
	return s.respondOnce(ctx, &req, func() (*Run, error) {
		// What is not stored does not need the conversation.
		if req.Wait && !req.Unstored {
			return s.inTurn(ctx, &req)
		}
		return s.start(ctx, req)
	})
}

// start begins a response, whatever was begun before.
func (s *Service) start(ctx context.Context, req Request) (*Run, error) {
	if err := s.admit(); err != nil {
		return nil, err
	}
	// Values stay, for the log; the end of the request must not end the run.
	runCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	t, run, err := s.begin(ctx, &req, stop)
	if err != nil {
		stop(err)
		s.leave(nil)
		return nil, err
	}
	go s.carryOut(runCtx, run, t)
	// The model is called ahead of anything that the caller does with the run, and by this thread, not by one that is to be woken for it.
	runtime.Gosched()
	return run, nil
}

// carryOut is a run's own goroutine. A thousand of these may wait for their models at a time, so what lies on their stacks meanwhile is kept small
// enough for one of 8 KiB, which the collector has shrunk to where a quarter is used; see docs/performance.md.
func (s *Service) carryOut(ctx context.Context, run *Run, t *turn) {
	if t = s.execute(ctx, run, t); t.question != "" {
		s.entitleTurn(ctx, run, t)
	}
}

// begin reads the conversation, makes the call's bytes and writes the start of the turn. What it read may have changed
// by then; it then reads anew. stop ends the context that the run will have.
func (s *Service) begin(ctx context.Context, req *Request, stop context.CancelCauseFunc) (*turn, *Run, error) {
	now := s.now()
	if !req.Regenerate {
		s.fill(req.Input, req.ConversationID, now)
	}
	var masked maskedText
	for i := range maxStale {
		c, history, guessed, err := s.read(ctx, req, i == 0)
		if err != nil {
			return nil, nil, err
		}
		if req.Unstored {
			history = committed(history, c.ActiveResponse)
		} else if c.ActiveResponse != "" {
			return nil, nil, Locked()
		}
		if i == 0 || req.Regenerate {
			masked = s.maskInput(req)
		}
		t, err := s.prepare(ctx, req, &c, history, masked, now)
		if err != nil && guessed {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		// Whoever sees the lock in the store finds the run here, so it enters before the lock is taken.
		run := s.newTurnRun(ctx, t, req.Stream, stop)
		s.enter(run)
		if err = s.write(ctx, req, &c, history, t); err == nil {
			run.begin(t.seq)
			return t, run, nil
		}
		s.withdraw(run)
		t.done(Inconclusive)
		if !errors.Is(err, ErrStale) {
			return nil, nil, beginFault(err)
		}
	}
	return nil, nil, Locked()
}

// write writes the start of a turn that goes with a history.
func (s *Service) write(ctx context.Context, req *Request, c *Conversation, history []Item, t *turn) error {
	claim := req.Caller.Idempotency.claim(t.response.ID, t.response.CreatedAt)
	if req.Unstored {
		return s.Store.BeginAside(ctx, req.Caller.Owner, claim, &t.response, t.intent)
	}
	start := Turn{Conversation: *c, Title: titleOf(req.Input), Input: req.Input, Regenerate: req.Regenerate, Response: t.response, Intent: t.intent, Claim: claim}
	err := s.Store.Begin(ctx, req.Caller.Owner, &start)
	t.seq = start.OutputSeq
	if err == nil && s.guesses(req) {
		s.contexts.begun(&start, history, s.ContextMessages, s.ContextBytes)
	} else {
		s.contexts.drop(req.Caller.Owner, c.ID)
	}
	return err
}

// newTurnRun makes the run of a turn, with its event log and the caller's reader where it has them.
func (s *Service) newTurnRun(ctx context.Context, t *turn, read bool, stop context.CancelCauseFunc) *Run {
	run := newRun(t.response.Owner, t.response, stop)
	if read {
		run.reader = newSubscription(0)
		run.reader.follow(run)
	}
	if t.response.LastEvent != 0 {
		ctx, owner, id := context.WithoutCancel(ctx), t.response.Owner, t.response.ID
		run.past = past{service: s, owner: owner, id: id}
		run.log = newEventLog(run, &s.logWriters, func(b Batched) error { return s.Store.AppendEvents(ctx, owner, id, b) })
	}
	return run
}

// committed is what of a conversation's items belongs to turns that have ended.
func committed(items []Item, active string) []Item {
	if active == "" {
		return items
	}
	return slices.DeleteFunc(items, func(it Item) bool { return it.ResponseID == active })
}

// read reads what a prompt goes with, or may guess it. For a turn that is run again it also sets the input.
func (s *Service) read(ctx context.Context, req *Request, guess bool) (c Conversation, history []Item, guessed bool, err error) {
	if req.Regenerate {
		c, history, req.Input, err = s.Store.LastTurn(ctx, req.Caller.Owner, req.ConversationID, s.ContextMessages)
		return c, history, false, err
	}
	if guess && s.guesses(req) {
		if c, history, guessed = s.contexts.find(req.Caller.Owner, req.ConversationID, s.ContextMessages); guessed {
			return c, history, true, nil
		}
	}
	c, history, err = s.Store.Context(ctx, req.Caller.Owner, req.ConversationID, s.ContextMessages)
	return c, history, false, err
}

// guesses reports whether what a prompt goes with may be guessed, and found out to be wrong when it begins.
func (s *Service) guesses(req *Request) bool {
	_, shared := s.Store.(Shared)
	return s.ContextBytes > 0 && !shared && !req.Unstored && !req.Regenerate
}

func (s *Service) maskInput(req *Request) maskedText {
	return s.maskItems(req.Input, func(*Item) bool { return true })
}

// NothingToRegenerate is the fault of running a turn again where a conversation does not end with one.
func NothingToRegenerate() *fault.Error {
	return fault.New(fault.Invalid, CodeNothingToRegenerate, "There is nothing to regenerate: the conversation does not end with a turn of a model.")
}

// Locked is the fault of a change to a conversation while a response runs on it.
func Locked() *fault.Error {
	f := fault.New(fault.Conflict, CodeConversationLocked, "A response is running on this conversation. Try again when it has ended.")
	f.RetryAfter = 500 * time.Millisecond
	return f
}

// beginFault says of a store that failed at the beginning what that means for a prompt: without a durable intent there is no call.
func beginFault(err error) error {
	if errors.Is(err, ErrNoRoom) {
		return err
	}
	if f := fault.Of(err); f.Kind == fault.Unavailable || f.Kind == fault.Internal {
		return auditUnavailable(err)
	}
	return err
}

// prepare makes of a request and the context it goes with everything that Begin and the attempts need. Policies that
// change what a model is sent, or what is stored, belong here.
func (s *Service) prepare(ctx context.Context, req *Request, c *Conversation, history []Item, masked maskedText, now time.Time) (*turn, error) {
	history, err := matchTools(history, req.Input)
	if err != nil {
		return nil, err
	}
	// What the store returned lies in memory with the history, which the run must not hold.
	model := cmp.Or(req.Model, strings.Clone(c.Model))
	if model == "" {
		if model, err = s.defaultModel(ctx); err != nil {
			return nil, err
		}
	}
	endpoint, name, ok := s.Router.Route(model)
	if !ok {
		return nil, fault.New(fault.NotFound, "model_not_found", "No provider is configured for this model.")
	}
	p := &prompt{
		endpoint: endpoint, info: s.modelInfo(endpoint, name),
		request: llmRequest(req, c, history, name), history: history, input: req.Input,
	}
	if err := s.fit(p); err != nil {
		return nil, err
	}
	body, err := endpoint.Provider.Encode(p.request)
	if err != nil {
		return nil, err
	}
	t := &turn{
		caller:   req.Caller,
		endpoint: endpoint,
		info:     p.info,
		prompt:   p,
		call:     &llm.Call{Model: name, Stream: req.streamed(), Body: body},

		fallbacks: s.Router.Fallbacks[s.Router.Full(model)],
		response: Response{
			ID: s.NewID(PrefixResponse), Owner: req.Caller.Owner, ConversationID: req.ConversationID, Status: InProgress,
			Model: model, Provider: endpoint.Name, Host: endpoint.Host, Stream: req.streamed(), Unstored: req.Unstored, Truncated: p.dropped, Attempts: 1,
			RequestID: req.Caller.RequestID, Actor: req.Caller.Actor, CreatedAt: now,
		},
	}
	if !s.allow(t) {
		held := t
		if t = s.takeOver(t, CodeUpstreamUnavailable); t == nil {
			return nil, s.unavailable(held)
		}
	}
	if req.Background {
		t.response.Status = Queued
	}
	if req.streamed() && !req.Unstored {
		t.response.LastEvent = reservedBlock
	}
	for i := range req.Input {
		req.Input[i].ResponseID = t.response.ID
		id := req.Input[i].ID
		if req.Regenerate {
			id = strings.Clone(id)
		}
		t.response.Input = append(t.response.Input, id)
	}
	if req.Unstored {
		t.response.Input = nil
	}
	t.again = req.Regenerate
	t.intent = s.intent(t, c, masked)
	if s.ModelTitles && !req.Unstored && !c.TitleSet && !slices.ContainsFunc(history, func(it Item) bool { return it.Output }) {
		t.question = cmp.Or(firstUserText(history), firstUserText(req.Input))
	}
	return t, nil
}

func llmRequest(req *Request, c *Conversation, history []Item, model string) *llm.Request {
	instructions := c.Instructions
	if req.Instructions != nil {
		instructions = *req.Instructions
	}
	return &llm.Request{
		Model: model, Instructions: instructions, Items: promptItems(history, req.Input), Params: c.Params.Merge(req.Params),
		Tools: req.Tools, ToolChoice: req.ToolChoice, Stream: req.streamed(),
	}
}

func promptItems(history, input []Item) []llm.Item {
	items := make([]llm.Item, 0, len(history)+len(input))
	for i := range history {
		items = append(items, history[i].Item)
	}
	for i := range input {
		items = append(items, input[i].Item)
	}
	return items
}

// defaultModel asks for the default model. Nothing has begun yet, so that a server that shuts down does not wait for it.
func (s *Service) defaultModel(ctx context.Context) (string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	refused := draining()
	defer context.AfterFunc(s.untilDraining(), func() { stop(refused) })() //nolint:contextcheck // it ends with the server, not with the request
	model, err := s.DefaultModel(ctx)
	if err != nil && errors.Is(context.Cause(ctx), refused) {
		return "", refused
	}
	return model, err
}

func draining() *fault.Error {
	f := fault.New(fault.Unavailable, "draining", "The server is shutting down. Try again in a moment.")
	f.RetryAfter = 5 * time.Second
	return f
}

// admit takes a place among the running responses.
func (s *Service) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return draining()
	}
	if s.admitted >= s.UpstreamConcurrency {
		f := fault.New(fault.Unavailable, CodeOverloaded, "Too many responses are running. Try again in a moment.")
		f.RetryAfter = time.Second
		return f
	}
	s.admitted++
	return nil
}

func (s *Service) enter(run *Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[string]*Run{}
	}
	s.runs[run.response.ID] = run
	if s.stopping || run.aside && s.draining {
		run.cancel(errShutdown)
	}
}

// withdraw takes a run out that did not begin.
func (s *Service) withdraw(run *Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(run)
}

func (s *Service) remove(run *Run) {
	delete(s.runs, run.response.ID)
	close(run.left)
}

// quiet says that no more responses run than there are processors.
func (s *Service) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitted <= runtime.NumCPU()
}

// leave gives the place back; run is nil where none was begun. Whoever waits for the run to have left finds the place free.
func (s *Service) leave(run *Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if run != nil {
		run.seat.leave()
		s.remove(run)
	}
	s.admitted--
	if s.admitted == 0 && s.idle != nil {
		close(s.idle)
	}
}
