package mongo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// questions are the filters and sorts that a store has sent, each form of them once. How a server answers them cannot be seen on a double; what can
// be held against the indexes there are is whether one of them fits.
type questions struct {
	mu   sync.Mutex
	seen map[string]bool
	list []question
}

// question is the form of a filter: the fields that must be equal to something, those that are bounded, and the order asked for.
type question struct {
	collection              string
	equal, bounded, ordered []string
}

func (q *question) String() string {
	return fmt.Sprintf("%s: equal %v, bounded %v, ordered %v", q.collection, q.equal, q.bounded, q.ordered)
}

func (q *questions) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		var command bson.D
		if err := bson.Unmarshal(e.Command, &command); err != nil {
			return
		}
		switch e.CommandName {
		case "find":
			q.add(e, field(command, "find"), field(command, "filter"), field(command, "sort"))
		case "findAndModify":
			q.add(e, field(command, "findAndModify"), field(command, "query"), nil)
		case "update", "delete":
			statements, _ := field(command, e.CommandName+"s").(bson.A)
			for _, s := range statements {
				q.add(e, field(command, e.CommandName), field(s.(bson.D), "q"), nil)
			}
		case "aggregate":
			q.mu.Lock()
			defer q.mu.Unlock()
			q.list = append(q.list, question{collection: "an aggregation, which this test does not know"})
		}
	}}
}

func field(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

func (q *questions) add(_ *event.CommandStartedEvent, collection, filter, sort any) {
	asked := question{collection: collection.(string)}
	conditions, _ := filter.(bson.D)
	for _, c := range conditions {
		operators, nested := c.Value.(bson.D)
		_, prefix := c.Value.(bson.Regex)
		switch {
		case strings.HasPrefix(c.Key, "$"):
		case prefix, nested && len(operators) > 0 && strings.HasPrefix(operators[0].Key, "$") && !slices.Contains([]string{"$in", "$all", "$eq"}, operators[0].Key):
			asked.bounded = append(asked.bounded, c.Key)
		default:
			asked.equal = append(asked.equal, c.Key)
		}
	}
	order, _ := sort.(bson.D)
	for _, e := range order {
		asked.ordered = append(asked.ordered, e.Key)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if form := asked.String(); !q.seen[form] {
		q.seen[form] = true
		q.list = append(q.list, asked)
	}
}

// serves reports whether an index finds what is asked for without looking at everything, in the order asked for.
func (ix *index) serves(q *question) bool {
	asked := slices.Concat(q.equal, q.bounded)
	if ix.where != "" && !slices.Contains(asked, ix.where) || ix.sparse && !slices.Contains(asked, ix.keys[0]) {
		return false
	}
	n := 0
	for n < len(ix.keys) && slices.Contains(q.equal, ix.keys[n]) {
		n++
	}
	if len(q.ordered) > 0 {
		rest := ix.keys[n:]
		return n > 0 && len(rest) >= len(q.ordered) && slices.Equal(rest[:len(q.ordered)], q.ordered)
	}
	return n > 0 || slices.Contains(q.bounded, ix.keys[0])
}

// few are collections of a handful of documents.
var few = []string{"chains", "purges", "meta"}

func (q *questions) haveIndexes(t *testing.T) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) < 40 {
		t.Errorf("only %d forms of questions were asked", len(q.list))
	}
	for i := range q.list {
		asked := &q.list[i]
		if slices.Contains(few, asked.collection) || slices.Contains(asked.equal, "_id") && len(asked.ordered) == 0 {
			continue
		}
		if !slices.ContainsFunc(indexes[asked.collection], func(ix index) bool { return ix.serves(asked) }) {
			t.Errorf("no index serves %v", asked)
		}
	}
}

func TestAQuestionWithoutAnIndexIsFound(t *testing.T) {
	for _, q := range []question{
		{collection: "items", equal: []string{"o"}},
		{collection: "items", equal: []string{"k"}, ordered: []string{"created"}},
		{collection: "conversations", equal: []string{"user"}, ordered: []string{"act"}},
		{collection: "audit", bounded: []string{"time"}},
	} {
		asked := questions{list: []question{q}}
		if slices.ContainsFunc(indexes[q.collection], func(ix index) bool { return ix.serves(&asked.list[0]) }) {
			t.Errorf("an index serves %v", &q)
		}
	}
}

func TestHowManyRoundTripsATurnTakes(t *testing.T) {
	var mu sync.Mutex
	var sent []string
	s := openAt(t, Options{monitor: &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, e.CommandName)
	}}})
	turn := begin(t, s, "conv_1", "resp_0")
	if err := s.End(t.Context(), owner, ending(turn.Response, chat.Completed)); err != nil {
		t.Fatal(err)
	}
	c, err := s.Conversation(t.Context(), owner, "conv_1")
	if err != nil {
		t.Fatal(err)
	}
	// What is sealed beside the turn is not of it.
	s.stop()
	s.background.Wait()
	took := func(do func() error) []string {
		t.Helper()
		mu.Lock()
		sent = nil
		mu.Unlock()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		// What was done in vain, because the server refused it or lost its outcome, is not what it takes.
		for i := len(sent) - 1; i >= 0; i-- {
			if sent[i] == "abortTransaction" {
				sent = sent[i+1:]
				break
			}
		}
		again := func(a, b string) bool { return a == b && a == "commitTransaction" }
		return slices.CompactFunc(slices.Clone(sent), again)
	}
	next := &chat.Turn{Conversation: c, Input: []chat.Item{message("msg_in", llm.User)}, Response: turn.Response, Claim: &chat.Claim{Route: "POST /x", Key: "k"}}
	next.Response.ID = "resp_1"
	next.Intent = record("llm.intent", &next.Response)
	e := ending(next.Response, chat.Completed)
	e.Log = []chat.Batched{{Number: 1, Steps: []byte("last")}}
	for _, step := range []struct {
		name string
		most int
		do   func() error
	}{
		{"begin, with an idempotency key", 7, func() error { return s.Begin(t.Context(), owner, next) }},
		{"a batch of events", 1, func() error {
			return s.AppendEvents(t.Context(), owner, "resp_1", chat.Batched{Number: 0, Steps: []byte("first"), LastEvent: 1000})
		}},
		{"end, with the last batch", 6, func() error { return s.End(t.Context(), owner, e) }},
	} {
		commands := took(step.do)
		commits := 0
		for _, c := range commands {
			if c == "commitTransaction" {
				commits++
			}
		}
		t.Logf("%s: %v", step.name, commands)
		if len(commands) > step.most || commits > 1 {
			t.Errorf("%s took %d round trips and %d commits: %v", step.name, len(commands), commits, commands)
		}
	}
}
