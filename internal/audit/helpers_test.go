package audit

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	seedFlag = flag.Uint64("seed", 0, "repeat the random tests with this seed")
	rounds   = flag.Int("rounds", 1, "how many times 2,000 tamperings and 200 honest logs are tried")
)

// newRand returns a source whose seed the test prints, and which -seed brings back.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var testTime = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// row is a sealed record as a store keeps it.
func row(header []byte, r *Record) *Row {
	kept := &Row{
		Header: header, Hash: slices.Clone(r.Hash[:]),
		Chain: r.Chain, Seq: r.Seq, ID: r.ID, Time: r.Time, Kind: r.Kind, Owner: r.Owner,
		ConversationID: r.ConversationID, ResponseID: r.ResponseID, Attempt: r.Attempt,
	}
	for _, p := range r.Payloads {
		s := StoredPayload{Part: p.Part, Salt: slices.Clone(p.Salt)}
		if p.Stored {
			text := p.Text
			s.Text = &text
		}
		kept.Payloads = append(kept.Payloads, s)
	}
	return kept
}

// clone copies a row so that a tampering with it leaves the original alone.
func (r *Row) clone() *Row {
	c := *r
	c.Header, c.Hash = slices.Clone(r.Header), slices.Clone(r.Hash)
	c.Payloads = slices.Clone(r.Payloads)
	for i := range c.Payloads {
		p := &c.Payloads[i]
		p.Salt = slices.Clone(p.Salt)
		if p.Text != nil {
			text := *p.Text
			p.Text = &text
		}
	}
	return &c
}

func cloneRows(rows []*Row) []*Row {
	out := make([]*Row, len(rows))
	for i, r := range rows {
		out[i] = r.clone()
	}
	return out
}

func verify(rows []*Row) Report {
	v := NewVerifier()
	for _, r := range rows {
		v.Add(r)
	}
	return v.Finish()
}

// testLog writes a log as servers do, one after the other.
type testLog struct {
	chains [][]*Row
	chain  *Chain
	n      int
	open   []Record // intents that have no outcome yet
}

func (l *testLog) record(kind Kind) Record {
	l.n++
	return Record{
		ID: fmt.Sprintf("aud_%06d", l.n), Time: testTime.Add(time.Duration(l.n) * time.Second), Kind: kind,
		Owner: "default", Actor: "anonymous", RequestID: fmt.Sprintf("req_%06d", l.n),
	}
}

func (l *testLog) seal(c *Chain, chain int, r Record) {
	header := c.Seal(&r)
	l.chains[chain] = append(l.chains[chain], row(header, &r))
}

func (l *testLog) add(r Record) { l.seal(l.chain, len(l.chains)-1, r) }

// start begins a chain as a server does: it seals the one before, if nobody did, and names its head.
func (l *testLog) start() {
	started := l.record(KindServerStarted)
	if before := l.chain; before != nil {
		if !before.Head().Closed {
			sealed := l.record(KindChainSealed)
			sealed.Heads = []Head{before.Head()}
			l.seal(ResumeChain(before.Head()), len(l.chains)-1, sealed)
			last := l.rowAt(-1)
			started.Heads = []Head{{Chain: last.Chain, Seq: last.Seq, Hash: [32]byte(last.Hash), Closed: true}}
		} else {
			started.Heads = []Head{before.Head()}
		}
	}
	l.chains = append(l.chains, nil)
	l.chain = NewChain(fmt.Sprintf("inst/%d", len(l.chains)))
	l.add(started)
}

// rowAt returns a row of the newest chain; -1 is the last.
func (l *testLog) rowAt(i int) *Row {
	rows := l.chains[len(l.chains)-1]
	if i < 0 {
		i += len(rows)
	}
	return rows[i]
}

// begin writes an intent.
func (l *testLog) begin() {
	r := l.record(KindIntent)
	r.ConversationID, r.ResponseID, r.Attempt = fmt.Sprintf("conv_%d", l.n%7), fmt.Sprintf("resp_%06d", l.n), 1
	r.Provider, r.Model, r.UpstreamHost = "openai", "gpt-4o-mini", "api.openai.com"
	r.Mask = &Mask{EngineVersion: "1", Policy: "tag", Counts: []Count{{"EMAIL", 1}}}
	r.Payloads = []Payload{
		NewPayload(PartPrompt, fmt.Sprintf("Write to [MASKED_EMAIL], number %d.", l.n)),
		NewCommitment(PartContext, 3, []byte("{}")),
	}
	l.add(r)
	l.open = append(l.open, r)
}

// end writes the outcome of the i-th open intent.
func (l *testLog) end(i int, status string) {
	intent := l.open[i]
	l.open = slices.Delete(l.open, i, i+1)
	r := l.record(KindOutcome)
	r.ConversationID, r.ResponseID, r.Attempt = intent.ConversationID, intent.ResponseID, intent.Attempt
	r.Provider, r.Model, r.UpstreamHost = intent.Provider, intent.Model, intent.UpstreamHost
	r.Status = status
	if status == "completed" {
		ms := int64(l.n)
		r.HTTPStatus, r.FinishReason, r.DurationMS = 200, "stop", &ms
		r.Usage, r.UsageSource = &Usage{InputTokens: 10, OutputTokens: 5, TotalTokens: 15}, UsageProvider
		r.Payloads = []Payload{NewPayload(PartResponse, fmt.Sprintf("Done, as number %d.", l.n))}
	}
	l.add(r)
}

// retry ends the i-th open intent as failed and writes the next attempt's.
func (l *testLog) retry(i int) {
	next := l.open[i]
	l.end(i, "failed")
	l.n++
	next.ID, next.Attempt = fmt.Sprintf("aud_%06d", l.n), next.Attempt+1
	l.add(next)
	l.open = append(l.open, next)
}

func (l *testLog) rows() []*Row { return slices.Concat(l.chains...) }

// honestLog writes a log at random: several starts, calls that overlap, retries, crashes, recoveries, clean stops.
func honestLog(r *rand.Rand) *testLog {
	l := &testLog{}
	for chains := 1 + r.IntN(5); chains > 0; chains-- {
		l.start()
		for len(l.open) > 0 {
			l.end(0, "unknown_after_crash")
		}
		for steps := r.IntN(25); steps > 0; steps-- {
			switch n := r.IntN(8); {
			case n < 3:
				l.begin()
			case n < 6 && len(l.open) > 0:
				l.end(r.IntN(len(l.open)), "completed")
			case n == 6 && len(l.open) > 0:
				l.retry(r.IntN(len(l.open)))
			default:
				edited := l.record(KindMessageEdited)
				edited.ConversationID, edited.ItemID = "conv_1", "msg_1"
				l.add(edited)
			}
		}
		if r.IntN(2) == 0 {
			for len(l.open) > 0 {
				l.end(0, "interrupted")
			}
			l.add(l.record(KindChainClosed))
		}
	}
	return l
}
