package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// claim takes a key of its own for something with that id.
func (w *world) claim(resource string) *chat.Claim {
	c := &chat.Claim{Route: "POST /api/conversations", Key: w.id("key-"), ResourceID: resource, CreatedAt: w.now()}
	c.Fingerprint[0], c.Fingerprint[31] = 1, byte(w.n.Load())
	return c
}

// guarded is a change that may come with a claim: do makes it, and made says whether it was.
type guarded struct {
	name string
	do   func(claim *chat.Claim, rec audit.Record) error
	made func() bool
}

// guarded are the changes that may come with a claim, each on a conversation of its own and once to be made.
func (w *world) guarded() []guarded {
	exists := func(id string) bool {
		_, err := w.Conversation(w.ctx, owner, id)
		return err == nil
	}
	at := w.now()
	created := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: at, UpdatedAt: at}
	empty := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: at, UpdatedAt: at}
	short, long := w.conversationOf(owner, w.messages(2)...), w.conversationOf(owner, w.messages(700)...)
	fork := chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}
	longFork := chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}
	target, several := w.conversationOf(owner), w.conversationOf(owner)
	turn := w.turn(w.conversationOf(owner, w.messages(1)...), w.message(llm.User, "a question"))
	asked := w.conversationOf(owner)
	w.ok(w.Begin(w.ctx, owner, w.turn(asked, w.message(llm.User, "first"))))
	held := w.read(owner, asked.ID)
	w.ok(w.End(w.ctx, owner, w.ending(&chat.Turn{Response: w.response(held.ActiveResponse)}, chat.Completed, w.message(llm.Assistant, "old"))))
	c, _, input, err := w.LastTurn(w.ctx, owner, asked.ID, 0)
	w.ok(err)
	again := w.turn(c, input...)
	again.Regenerate = true
	aside := w.turn(w.conversationOf(owner)).Response
	has := func(c chat.Conversation, n int64) func() bool {
		return func() bool { return w.read(owner, c.ID).MessageCount == n }
	}
	runs := func(c chat.Conversation) func() bool {
		return func() bool { return w.read(owner, c.ID).ActiveResponse != "" }
	}
	begin := func(t *chat.Turn) func(claim *chat.Claim, rec audit.Record) error {
		return func(claim *chat.Claim, rec audit.Record) error {
			t.Claim, t.Intent = claim, rec
			return w.Begin(w.ctx, owner, t)
		}
	}
	return []guarded{
		{"CreateConversation", func(claim *chat.Claim, rec audit.Record) error {
			return w.CreateConversation(w.ctx, owner, claim, &empty, nil, rec)
		}, func() bool { return exists(empty.ID) }},
		{"CreateConversation with items", func(claim *chat.Claim, rec audit.Record) error {
			return w.CreateConversation(w.ctx, owner, claim, &created, w.messages(2), rec)
		}, func() bool { return exists(created.ID) }},
		{"ForkConversation", func(claim *chat.Claim, rec audit.Record) error {
			return w.ForkConversation(w.ctx, owner, claim, short.ID, "", &fork, rec)
		}, func() bool { return exists(fork.ID) }},
		{"ForkConversation of a long one", func(claim *chat.Claim, rec audit.Record) error {
			return w.ForkConversation(w.ctx, owner, claim, long.ID, "", &longFork, rec)
		}, func() bool { return exists(longFork.ID) }},
		{"AppendItems", func(claim *chat.Claim, rec audit.Record) error {
			return w.AppendItems(w.ctx, owner, claim, target.ID, "", w.messages(1), rec)
		}, has(target, 1)},
		{"AppendItems of two", func(claim *chat.Claim, rec audit.Record) error {
			return w.AppendItems(w.ctx, owner, claim, several.ID, "", w.messages(2), rec)
		}, has(several, 2)},
		{"Begin", begin(turn), runs(turn.Conversation)},
		{"Begin of a turn that is run again", begin(again), runs(asked)},
		{"BeginAside", func(claim *chat.Claim, rec audit.Record) error {
			return w.BeginAside(w.ctx, owner, claim, &aside, rec)
		}, func() bool {
			_, err := w.Response(w.ctx, owner, aside.ID)
			return err == nil
		}},
	}
}

func (w *world) response(id string) chat.Response {
	w.t.Helper()
	r, err := w.Response(w.ctx, owner, id)
	w.ok(err)
	return r
}

// claimed demands the error that carries a claim.
func (w *world) claimed(name string, err error, want *chat.Claim) {
	w.t.Helper()
	taken, ok := errors.AsType[*chat.ClaimedError](err)
	if !ok {
		w.t.Errorf("%s: got %v, want the claim", name, err)
		return
	}
	w.equal(taken.Claim, keptClaim(want))
}

func keptClaim(c *chat.Claim) chat.Claim {
	stored := *c
	stored.CreatedAt = kept(c.CreatedAt)
	return stored
}

// holds demands of a key that it stands for that claim, or, of nil, that it is free.
func (w *world) holds(owner string, key *chat.Claim, want *chat.Claim) {
	w.t.Helper()
	got, found, err := w.Claim(w.ctx, owner, key.Route, key.Key)
	w.ok(err)
	if want == nil {
		w.equal([]any{found, got}, []any{false, chat.Claim{}})
		return
	}
	w.equal([]any{found, got}, []any{true, keptClaim(want)})
}

var claimCases = []testCase{
	{"a change takes its key, and a second one with that key is told of it and makes nothing", func(w *world) {
		for _, g := range w.guarded() {
			claim, first := w.claim("the first"), w.record(audit.KindRead, nil)
			w.holds(owner, claim, nil)
			if err := g.do(claim, first); err != nil || !g.made() {
				w.t.Errorf("%s: %v, made: %v", g.name, err, g.made())
			}
			w.equal(w.recorded(first.ID), true)
			w.holds(owner, claim, claim)
		}
		for _, g := range w.guarded() {
			claim := w.claim("the first")
			at := w.now()
			w.ok(w.CreateConversation(w.ctx, owner, claim, &chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}, nil))
			second := *claim
			second.Fingerprint[5], second.ResourceID, second.CreatedAt = 7, "the second", w.now()
			rec := w.record(audit.KindRead, nil)
			w.claimed(g.name, g.do(&second, rec), claim)
			if g.made() || w.recorded(rec.ID) {
				w.t.Errorf("%s: it was made all the same", g.name)
			}
			w.holds(owner, claim, claim)
			// The key was all that was in its way.
			if err := g.do(w.claim("the third"), rec); err != nil || !g.made() {
				w.t.Errorf("%s: %v, made: %v", g.name, err, g.made())
			}
		}
	}},
	{"a change that fails leaves its key free", func(w *world) {
		taken := w.record(audit.KindRead, nil)
		w.ok(w.Append(w.ctx, taken))
		for _, g := range w.guarded() {
			claim := w.claim("nothing")
			if err := g.do(claim, taken); err == nil || g.made() {
				w.t.Errorf("%s: %v, made: %v", g.name, err, g.made())
			}
			w.holds(owner, claim, nil)
			w.ok(g.do(claim, w.record(audit.KindRead, nil)))
			w.holds(owner, claim, claim)
		}
	}},
	{"a change that is refused leaves its key free", func(w *world) {
		c := w.conversation(w.messages(1)...)
		stale := w.turn(c, w.message(llm.User, "stale"))
		stale.Claim = w.claim("nothing")
		w.begin(c)
		append1, begin, locked := w.claim("nothing"), w.claim("nothing"), w.turn(w.read(owner, c.ID), w.message(llm.User, "locked"))
		w.fault(w.AppendItems(w.ctx, owner, append1, c.ID, "", w.messages(1)), fault.Conflict, chat.CodeConversationLocked)
		locked.Claim = begin
		w.fault(w.Begin(w.ctx, owner, locked), fault.Conflict, chat.CodeConversationLocked)
		r := w.response(w.read(owner, c.ID).ActiveResponse)
		w.ok(w.End(w.ctx, owner, w.ending(&chat.Turn{Response: r}, chat.Completed)))
		if err := w.Begin(w.ctx, owner, stale); !errors.Is(err, chat.ErrStale) {
			w.t.Errorf("got %v", err)
		}
		missing, fork, twice := w.claim("nothing"), w.claim("nothing"), w.claim("nothing")
		at := w.now()
		w.fault(w.AppendItems(w.ctx, owner, missing, "conv_none", "", w.messages(1)), fault.NotFound, chat.CodeConversationNotFound)
		w.fault(w.ForkConversation(w.ctx, owner, fork, c.ID, "msg_none", &chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}), fault.NotFound, chat.CodeMessageNotFound)
		w.fault(w.CreateConversation(w.ctx, owner, twice, &chat.Conversation{ID: c.ID, CreatedAt: at, UpdatedAt: at}, nil), fault.Conflict, chat.CodeDuplicateID)
		for _, claim := range []*chat.Claim{append1, begin, stale.Claim, missing, fork, twice} {
			w.holds(owner, claim, nil)
		}
	}},
	{"a key that is taken is the answer also where the conversation is locked, has changed or is gone", func(w *world) {
		c := w.conversation()
		t := w.turn(c, w.message(llm.User, "first"))
		t.Claim = w.claim(t.Response.ID)
		w.ok(w.Begin(w.ctx, owner, t))
		second := w.turn(c, w.message(llm.User, "first"))
		second.Claim = &chat.Claim{Route: t.Claim.Route, Key: t.Claim.Key, Fingerprint: t.Claim.Fingerprint, ResourceID: second.Response.ID, CreatedAt: w.now()}
		w.claimed("locked", w.Begin(w.ctx, owner, second), t.Claim)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed)))
		w.claimed("changed", w.Begin(w.ctx, owner, second), t.Claim)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		w.claimed("gone", w.Begin(w.ctx, owner, second), t.Claim)
		w.claimed("gone, a message", w.AppendItems(w.ctx, owner, second.Claim, c.ID, "", w.messages(1)), t.Claim)
	}},
	{"why a response did not complete is kept, so that it can be said again", func(w *world) {
		for kind := fault.Internal; kind.String() != ""; kind++ {
			e := w.ending(w.begin(w.conversation()), chat.Failed)
			e.Response.Error = &chat.ResponseError{Code: "upstream_failed", Message: "The model's provider failed.", Kind: kind}
			w.ok(w.End(w.ctx, owner, e))
			w.equal(w.response(e.Response.ID).Error, e.Response.Error)
		}
	}},
	{"a key is one of its owner and of its route", func(w *world) {
		mine := w.claim("mine")
		create := func(owner string, claim *chat.Claim) error {
			at := w.now()
			return w.CreateConversation(w.ctx, owner, claim, &chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}, nil)
		}
		w.ok(create(owner, mine))
		theirs, elsewhere, cased := *mine, *mine, *mine
		theirs.ResourceID = "theirs"
		elsewhere.Route, elsewhere.ResourceID = "POST /api/conversations/c1/fork", "elsewhere"
		cased.Key, cased.ResourceID = "K"+mine.Key[1:], "cased"
		w.holds(other, mine, nil)
		w.ok(create(other, &theirs))
		w.ok(create(owner, &elsewhere))
		w.ok(create(owner, &cased))
		w.holds(owner, mine, mine)
		w.holds(other, &theirs, &theirs)
		w.holds(owner, &elsewhere, &elsewhere)
		w.holds(owner, &cased, &cased)
	}},
	{"a claim that has run out gives its key to the next change", func(w *world) {
		at := w.now()
		create := func(claim *chat.Claim) error {
			return w.CreateConversation(w.ctx, owner, claim, &chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}, nil)
		}
		claim := w.claim("the first")
		claim.CreatedAt = kept(claim.CreatedAt)
		w.ok(create(claim))
		next := *claim
		next.ResourceID, next.CreatedAt = "the next", claim.CreatedAt.Add(chat.ClaimLife-time.Millisecond)
		w.claimed("in time", create(&next), claim)
		next.CreatedAt = claim.CreatedAt.Add(chat.ClaimLife)
		w.ok(create(&next))
		w.holds(owner, claim, &next)
	}},
	{"of many changes at once with one key one is made", func(w *world) {
		c := w.conversation()
		claim := w.claim("")
		var wg sync.WaitGroup
		results := make([]error, 32)
		for i := range results {
			wg.Go(func() {
				mine := *claim
				mine.ResourceID = string(rune('A' + i))
				results[i] = w.AppendItems(w.ctx, owner, &mine, c.ID, "", w.messages(1))
			})
		}
		wg.Wait()
		w.equal(w.read(owner, c.ID).MessageCount, int64(1))
		got, found, err := w.Claim(w.ctx, owner, claim.Route, claim.Key)
		w.ok(err)
		w.equal(found, true)
		for i, err := range results {
			if err == nil {
				w.equal(got.ResourceID, string(rune('A'+i)))
				continue
			}
			w.claimed("a later one", err, &got)
		}
	}},
}
