//go:build unix

package main

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/crashtest"
)

// Each violation that only a look into the documents shows, or that a look into them must not miss, is planted in a sound database of MongoDB, found for what it
// is, and taken back.
func TestTheInvariantsCatchOnMongoDBWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	s := newSquadron(t, seedOf(t), crashClients, crashClients)
	s.load.Pace, s.load.Shared, s.load.Together = 0, 0, 0
	s.upstream.Pause = time.Millisecond
	// Bounded by the test's own time limit.
	for len(crashtest.Idle(s.load.Counts())) > 0 {
		s.run(t, time.Second, func(context.Context) {})
	}
	s.check(t)
	entries, err := crashtest.ReadHistory(s.file)
	if err != nil {
		t.Fatal(err)
	}
	appended, answer := done(entries, crashtest.OpAppend)
	deleted, _ := done(entries, crashtest.OpDelete)
	gone, _ := done(entries, crashtest.OpDeleteConversation)
	asked, streamed := done(entries, crashtest.OpStream)
	p := planter{t: t, s: s}
	aMessage, aTurn := bson.M{"id": answer.Messages[0].ID}, bson.M{"id": streamed.Response}
	ofTheTurn := bson.M{"response": streamed.Response, "output": true}
	recorded := func(kind string) bson.M { return bson.M{"r": streamed.Response, "kind": kind} }
	itsConversation := bson.M{"id": asked.Conversation}
	// Of a process that lives nobody else seals what is left.
	holder := p.find("chains", bson.M{"closed": false})["holder"]

	for _, tt := range []struct {
		name  string
		want  crashtest.Invariant
		plant func()
	}{
		{"nothing", "", func() {}},
		{"a message is lost", crashtest.AcknowledgedIsStored, func() {
			p.set("conversations", bson.M{"id": appended.Conversation}, "$inc", bson.M{"count": -1})
			p.remove("items", aMessage)
		}},
		{"a message says something else", crashtest.AcknowledgedIsStored, func() { p.set("items", aMessage, "$set", bson.M{"content": []byte(`"other"`)}) }},
		{"a deleted conversation is back", crashtest.AcknowledgedIsStored, func() {
			p.copy("conversations", itsConversation, bson.M{"_id": "default/" + gone.Conversation, "id": gone.Conversation, "k": "k", "count": 0})
		}},
		{"a deleted message is back", crashtest.AcknowledgedIsStored, func() {
			p.set("conversations", bson.M{"id": deleted.Conversation}, "$inc", bson.M{"count": 1, "next": 2000})
			k, _ := p.find("conversations", bson.M{"id": deleted.Conversation})["k"].(string)
			p.copy("items", aMessage, bson.M{"_id": k + "/" + deleted.Messages[0].ID, "id": deleted.Messages[0].ID, "k": k, "seq": int64(1000)})
		}},
		{"an answer is cut", crashtest.AcknowledgedIsStored, func() { p.set("items", ofTheTurn, "$set", bson.M{"content": []byte(`"You"`)}) }},
		{"an end is another", crashtest.AcknowledgedIsStored, func() { p.set("responses", aTurn, "$set", bson.M{"status": "cancelled"}) }},
		{"an event is lost", crashtest.EventsOnce, func() { p.remove("events", bson.M{"r": "default/" + streamed.Response, "n": 0}) }},
		{"a message is stored twice", crashtest.NothingIsMadeUp, func() {
			p.set("conversations", bson.M{"id": appended.Conversation}, "$inc", bson.M{"count": 1, "next": 2000})
			k, _ := p.find("items", aMessage)["k"].(string)
			p.copy("items", aMessage, bson.M{"_id": k + "/msg_twice", "id": "msg_twice", "seq": int64(1000)})
		}},
		{"a turn without its response", crashtest.NoTornTurn, func() { p.remove("responses", aTurn) }},
		{"a response that never ended", crashtest.NoTornTurn, func() { p.set("responses", aTurn, "$set", bson.M{"status": "in_progress", "beat": 1}) }},
		{"two responses that run", crashtest.OneRunning, func() {
			p.set("responses", aTurn, "$set", bson.M{"status": "in_progress", "beat": 1})
			p.copy("responses", aTurn, bson.M{"_id": "default/resp_twice", "id": "resp_twice"})
		}},
		{"a lock is left", crashtest.NoTornTurn, func() {
			p.set("conversations", itsConversation, "$set", bson.M{"active": bson.M{"id": streamed.Response}})
		}},
		{"a seq is given twice", crashtest.SeqIncreases, func() { p.set("conversations", itsConversation, "$set", bson.M{"next": 1}) }},
		{"an outcome is lost", crashtest.OneOutcome, func() { p.remove("audit", recorded("llm.outcome")) }},
		{"a second outcome", crashtest.OneOutcome, func() { p.copy("audit", recorded("llm.outcome"), bson.M{"_id": "aud_twice", "key": "twice"}) }},
		{"an intent is lost", crashtest.IntentBeforeCall, func() { p.remove("audit", recorded("llm.intent")) }},
		{"an intent came late", crashtest.IntentBeforeCall, func() { p.set("audit", recorded("llm.intent"), "$set", bson.M{"time": time.Now().Add(time.Hour)}) }},
		{"a record was altered", crashtest.ChainVerifies, func() {
			header, _ := p.find("audit", recorded("llm.intent"))["header"].(bson.Binary)
			p.set("audit", recorded("llm.intent"), "$set", bson.M{"header": bytes.Replace(header.Data, []byte("scripted"), []byte("scripteD"), 1)})
		}},
		{"a record is not sealed", crashtest.ChainVerifies, func() {
			p.copy("audit", recorded("llm.intent"), bson.M{"_id": "aud_x", "key": "x", "kind": "read", "unsealed": holder})
		}},
		{"a wrong count", crashtest.Sound, func() { p.set("conversations", itsConversation, "$inc", bson.M{"count": 1}) }},
		{"an item of no conversation", crashtest.Sound, func() { p.copy("items", aMessage, bson.M{"_id": "none/msg", "k": "none"}) }},
		{"events of no response", crashtest.Sound, func() { p.copy("events", bson.M{"n": 0}, bson.M{"_id": "default/none/0", "r": "default/none"}) }},
		{"a lease after the end", crashtest.Sound, func() { p.set("responses", aTurn, "$set", bson.M{"beat": 1}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.t = t
			defer p.takeBack(p.keep())
			tt.plant()
			promise := crashtest.Promised(entries, time.Time{}, time.Time{})
			found, err := promise.CheckDatabase(t.Context(), s.database, true)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(v crashtest.Violation) bool { return v.Invariant == tt.want }) {
				found = append(found, promise.CheckServer(t.Context(), s.instances[0].client(), promise.Conversations())...)
			}
			mustFind(t, tt.want, found)
		})
	}
}

// planter changes documents of a database, each of which must be there.
type planter struct {
	t *testing.T
	s *squadron
}

func (p *planter) set(collection string, filter bson.M, operator string, fields bson.M) {
	p.t.Helper()
	res, err := p.s.database.Collection(collection).UpdateOne(p.t.Context(), filter, bson.M{operator: fields})
	if err != nil || res.MatchedCount != 1 {
		p.t.Fatalf("%s %v: %+v, %v", collection, filter, res, err)
	}
}

func (p *planter) remove(collection string, filter bson.M) {
	p.t.Helper()
	res, err := p.s.database.Collection(collection).DeleteOne(p.t.Context(), filter)
	if err != nil || res.DeletedCount != 1 {
		p.t.Fatalf("%s %v: %+v, %v", collection, filter, res, err)
	}
}

func (p *planter) find(collection string, filter bson.M) bson.M {
	p.t.Helper()
	var d bson.M
	if err := p.s.database.Collection(collection).FindOne(p.t.Context(), filter).Decode(&d); err != nil {
		p.t.Fatalf("%s %v: %v", collection, filter, err)
	}
	return d
}

// copy inserts a document once more, with some fields other than they are.
func (p *planter) copy(collection string, filter, fields bson.M) {
	p.t.Helper()
	d := p.find(collection, filter)
	for k, v := range fields {
		d[k] = v
	}
	if _, err := p.s.database.Collection(collection).InsertOne(p.t.Context(), d); err != nil {
		p.t.Fatal(err)
	}
}

var planted = []string{"conversations", "items", "responses", "events", "audit"}

// keep is all that may be changed.
func (p *planter) keep() map[string][]bson.M {
	p.t.Helper()
	kept := map[string][]bson.M{}
	for _, name := range planted {
		cursor, err := p.s.database.Collection(name).Find(p.t.Context(), bson.M{})
		if err != nil {
			p.t.Fatal(err)
		}
		var all []bson.M
		if err := cursor.All(p.t.Context(), &all); err != nil {
			p.t.Fatal(err)
		}
		kept[name] = all
	}
	return kept
}

func (p *planter) takeBack(kept map[string][]bson.M) {
	p.t.Helper()
	for _, name := range planted {
		c := p.s.database.Collection(name)
		if _, err := c.DeleteMany(p.t.Context(), bson.M{}); err != nil {
			p.t.Fatal(err)
		}
		if _, err := c.InsertMany(p.t.Context(), kept[name]); err != nil {
			p.t.Fatal(err)
		}
	}
}
