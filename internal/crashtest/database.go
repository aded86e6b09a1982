package crashtest

import (
	"context"

	"github.com/parley-llm/parley/internal/audit"
)

// CheckDatabase looks into a database, which servers may have open. settled says that no server has been started on it since a response ran, or
// only one that has recovered, and that no process has died whose records no other has sealed: then every response has ended.
func (p *Promise) CheckDatabase(ctx context.Context, db Database, settled bool) ([]Violation, error) {
	f := &findings{}
	report, unsealed, err := db.Verify(ctx)
	if err != nil {
		return nil, err
	}
	for _, finding := range report.Findings {
		f.add(ChainVerifies, "%s: chain %s, record %d: %s", finding.Kind, finding.Chain, finding.Seq, finding.Detail)
	}
	if settled && report.Pending > 0 {
		f.add(OneOutcome, "%d intents wait for an outcome", report.Pending)
	}
	if settled && unsealed > 0 {
		f.add(ChainVerifies, "%d records have no place in a chain", unsealed)
	}
	c, err := db.Read(ctx)
	if err != nil {
		return nil, err
	}
	r := newRules(f, c, settled)
	r.conversations()
	r.items()
	r.responses()
	r.attempts()
	for _, text := range c.Unsound {
		f.add(Sound, "%s", text)
	}
	p.checkCalls(f, c)
	return f.list, nil
}

// rules are what must hold of a database's contents, whatever was sent to its server.
type rules struct {
	*findings
	*Contents
	settled bool

	byKey     map[string]*StoredConversation
	byID      map[string]*StoredResponse
	byAttempt map[attempt]*pair
}

type attempt struct {
	response string
	number   int
}

// pair is what is recorded of an attempt.
type pair struct {
	intents, outcomes int
	status            string
}

func newRules(f *findings, c *Contents, settled bool) *rules {
	r := &rules{findings: f, Contents: c, settled: settled, byKey: map[string]*StoredConversation{}, byID: map[string]*StoredResponse{}, byAttempt: map[attempt]*pair{}}
	for i := range c.Conversations {
		r.byKey[c.Conversations[i].Key] = &c.Conversations[i]
	}
	for i := range c.Responses {
		r.byID[c.Responses[i].ID] = &c.Responses[i]
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		at := attempt{a.Response, a.Attempt}
		if r.byAttempt[at] == nil {
			r.byAttempt[at] = &pair{}
		}
		if a.Kind == audit.KindIntent {
			r.byAttempt[at].intents++
		} else {
			r.byAttempt[at].outcomes++
			r.byAttempt[at].status = a.Status
		}
	}
	return r
}

func (r *rules) conversations() {
	last, messages, running := map[string]int64{}, map[string]int64{}, map[string]int{}
	for i := range r.Items {
		it := &r.Items[i]
		last[it.Conversation] = max(last[it.Conversation], it.Seq)
		if it.Message {
			messages[it.Conversation]++
		}
	}
	for _, resp := range r.Running() {
		if resp.Turn {
			running[resp.Conversation]++
		}
	}
	for i := range r.Conversations {
		c := &r.Conversations[i]
		if last[c.Key] >= c.NextSeq {
			r.add(SeqIncreases, "%s goes on at %d and has an item at %d", c.ID, c.NextSeq, last[c.Key])
		}
		if c.Count != messages[c.Key] {
			r.add(Sound, "%s counts %d messages and has %d", c.ID, c.Count, messages[c.Key])
		}
		if n := running[c.Key]; n > 1 {
			r.add(OneRunning, "%s has %d running responses", c.ID, n)
		}
		if holder := r.byID[c.Lock]; c.Lock != "" && (holder == nil || !holder.running()) {
			r.add(NoTornTurn, "%s is held by %s, which does not run", c.ID, c.Lock)
		}
	}
}

func (r *rules) items() {
	for i := range r.Items {
		it := &r.Items[i]
		c := r.byKey[it.Conversation]
		if c == nil {
			if !r.Leaving[it.Conversation] && !r.Coming[it.Conversation] {
				r.add(Sound, "item %s is of no conversation", it.ID)
			}
			continue
		}
		// What was copied has its response where it was copied from.
		if resp := r.byID[it.Response]; it.Response != "" && !c.Forked && (resp == nil || resp.Conversation != it.Conversation) {
			r.add(NoTornTurn, "%s belongs to %s, which is not there", it.ID, it.Response)
		}
	}
}

func (r *rules) responses() {
	for i := range r.Responses {
		resp := &r.Responses[i]
		if r.settled && resp.running() {
			r.add(NoTornTurn, "%s is %s", resp.ID, resp.Status)
		}
		if r.byKey[resp.Conversation] == nil && !r.Leaving[resp.Conversation] {
			r.add(Sound, "response %s is of no conversation", resp.ID)
		}
		intents := 0
		for n := 1; n <= resp.Attempts; n++ {
			if p := r.byAttempt[attempt{resp.ID, n}]; p != nil {
				intents += p.intents
			}
		}
		if intents != resp.Attempts {
			r.add(IntentBeforeCall, "%s has %d attempts and %d intents", resp.ID, resp.Attempts, intents)
		}
		if p := r.byAttempt[attempt{resp.ID, resp.Attempts}]; r.settled && p != nil && p.status == unknownAfterCrash && resp.Status != "interrupted" {
			r.add(OneOutcome, "%s is %s and its last outcome says %s", resp.ID, resp.Status, unknownAfterCrash)
		}
	}
}

func (r *rules) attempts() {
	for at, p := range r.byAttempt {
		if p.intents != 1 || p.outcomes > 1 || r.settled && p.outcomes != 1 {
			r.add(OneOutcome, "%s attempt %d has %d intents and %d outcomes", at.response, at.number, p.intents, p.outcomes)
		}
	}
}

// checkCalls looks for the intents of the calls that have reached the model. An intent's time is taken before it is committed, so
// one that is late was certainly not there.
func (p *Promise) checkCalls(f *findings, c *Contents) {
	intents, questions := map[attempt]StoredAttempt{}, map[string]string{}
	for _, a := range c.Attempts {
		if a.Kind == audit.KindIntent {
			intents[attempt{a.Response, a.Attempt}] = a
		}
	}
	for i := range c.Items {
		if it := &c.Items[i]; it.Question != "" && it.Response != "" {
			questions[it.Question] = it.Response
		}
	}
	calls := map[string]int{}
	for _, call := range p.asked {
		question := call.Messages[0].Text
		response := p.questions[question].response
		if response == "" {
			response = questions[question]
		}
		if response == "" {
			if c := p.conversations[p.questions[question].conversation]; c == nil || !c.may && !c.gone {
				f.add(IntentBeforeCall, "the model was asked %q, which no response has asked", short(question))
			}
			continue
		}
		calls[response]++
		n := calls[response]
		if intent, found := intents[attempt{response, n}]; !found || intent.Time.UnixMilli() > call.Time.UnixMilli() {
			f.add(IntentBeforeCall, "call %d of %s had no intent", n, response)
		}
		if call.Code == noIntent || call.Code == noQuestion && !p.removed(question, response) {
			f.add(IntentBeforeCall, "when %s called the model, its intent was not committed: %s", response, call.Code)
		}
	}
}

// removed reports whether a question may have been taken away while its call was on its way, by a deletion, or by an edit once the
// call was cancelled.
func (p *Promise) removed(text, response string) bool {
	c := p.conversations[p.questions[text].conversation]
	return c == nil || c.may || c.gone || c.response(response).touched
}
