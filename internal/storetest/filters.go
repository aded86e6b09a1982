package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// filed creates a conversation with settings of its own.
func (w *world) filed(change func(c *chat.Conversation), items ...chat.Item) string {
	w.t.Helper()
	at := w.now()
	c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: at, UpdatedAt: at}
	if change != nil {
		change(&c)
	}
	w.ok(w.CreateConversation(w.ctx, c.Owner, nil, &c, items))
	return c.ID
}

// found are the ids of what a query finds, the least active first.
func (w *world) found(q chat.Query) []string {
	w.t.Helper()
	q.Limit = 100
	list, err := w.Conversations(w.ctx, owner, q)
	w.ok(err)
	w.equal(list.HasMore, false)
	names := []string{}
	for i := range list.Data {
		names = append(names, list.Data[i].ID)
	}
	return names
}

// pageOf is the page function of a query, for checkPages.
func (w *world) pageOf(q chat.Query) func(p chat.Page) ([]string, bool, error) {
	return func(p chat.Page) ([]string, bool, error) {
		q.Page = p
		list, err := w.Conversations(w.ctx, owner, q)
		names := make([]string, len(list.Data))
		for i := range list.Data {
			names[i] = list.Data[i].ID
		}
		return names, list.HasMore, err
	}
}

var filterCases = []testCase{
	{"conversations are filtered by user, exactly", func(w *world) {
		var want []string
		for _, user := range []string{"ann", "", "bob", "ann", "Ann", "ann ", "annie"} {
			id := w.filed(func(c *chat.Conversation) { c.User = user })
			if user == "ann" {
				want = append(want, id)
			}
		}
		w.filed(func(c *chat.Conversation) { c.User, c.Owner = "ann", other })
		w.equal(w.found(chat.Query{User: "ann"}), want)
		w.equal(w.found(chat.Query{User: "nobody"}), []string{})
		w.equal(w.found(chat.Query{User: "' OR 1=1 --"}), []string{})
	}},
	{"conversations are filtered by their own model, as it is now", func(w *world) {
		small := w.filed(func(c *chat.Conversation) { c.Model = "small" })
		large := w.filed(func(c *chat.Conversation) { c.Model = "large" })
		w.filed(nil)
		w.equal(w.found(chat.Query{Model: "small"}), []string{small})
		_, err := w.UpdateConversation(w.ctx, owner, large, 0, func(c *chat.Conversation) error {
			c.Model, c.UpdatedAt = "small", w.now()
			return nil
		})
		w.ok(err)
		w.equal(w.found(chat.Query{Model: "small"}), []string{small, large})
		w.equal(w.found(chat.Query{Model: "large"}), []string{})
	}},
	{"conversations are filtered by pairs of metadata, which must all be there", func(w *world) {
		pairs := func(m map[string]string) string {
			return w.filed(func(c *chat.Conversation) { c.Metadata = m })
		}
		a := pairs(map[string]string{"channel": "web", "team": "red"})
		b := pairs(map[string]string{"channel": "web", "team": "blue"})
		odd := pairs(map[string]string{"": "", "ключ \"'[]": "<&>\n%_"})
		w.filed(nil)
		w.filed(func(c *chat.Conversation) { c.Owner, c.Metadata = other, map[string]string{"channel": "web"} })
		w.equal(w.found(chat.Query{Metadata: map[string]string{"channel": "web"}}), []string{a, b})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"channel": "web", "team": "blue"}}), []string{b})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"channel": "web", "team": "green"}}), []string{})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"channel": "we"}}), []string{})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"": ""}}), []string{odd})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"ключ \"'[]": "<&>\n%_"}}), []string{odd})
	}},
	{"a filter by metadata follows its changes", func(w *world) {
		id := w.filed(func(c *chat.Conversation) { c.Metadata = map[string]string{"a": "1", "b": "2"} })
		set := func(m map[string]string) {
			w.t.Helper()
			_, err := w.UpdateConversation(w.ctx, owner, id, 0, func(c *chat.Conversation) error { c.Metadata = m; return nil })
			w.ok(err)
		}
		has := func(k, v string) bool { return len(w.found(chat.Query{Metadata: map[string]string{k: v}})) == 1 }
		set(map[string]string{"a": "1", "b": "3"})
		w.equal([]bool{has("a", "1"), has("b", "2"), has("b", "3")}, []bool{true, false, true})
		set(nil)
		w.equal([]bool{has("a", "1"), has("b", "3")}, []bool{false, false})
		set(map[string]string{"a": "1"})
		w.equal(has("a", "1"), true)
		w.ok(w.DeleteConversation(w.ctx, owner, id, 0, ""))
		w.equal(has("a", "1"), false)
	}},
	{"conversations are filtered by when they were created, both bounds exclusive and to the millisecond", func(w *world) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
		var all []string
		for i := range 4 {
			all = append(all, w.filed(func(c *chat.Conversation) {
				c.CreatedAt = at.Add(time.Duration(i) * time.Millisecond)
				c.UpdatedAt = at.Add(time.Duration(i) * time.Hour)
			}))
		}
		bounds := func(after, before time.Duration) []string {
			w.t.Helper()
			q := chat.Query{}
			if after != 0 {
				q.CreatedAfter = ptr(at.Add(after))
			}
			if before != 0 {
				q.CreatedBefore = ptr(at.Add(before))
			}
			return w.found(q)
		}
		const ms, us = time.Millisecond, time.Microsecond
		w.equal(bounds(ms, 0), all[2:])
		w.equal(bounds(ms-us, 0), all[1:])
		w.equal(bounds(ms+us, 0), all[2:])
		w.equal(bounds(0, 2*ms), all[:2])
		w.equal(bounds(0, 2*ms+us), all[:3])
		w.equal(bounds(-time.Hour, time.Hour), all)
		w.equal(bounds(ms, 2*ms), []string{})
		w.equal(bounds(time.Hour, 0), []string{})
	}},
	{"filters combine, with a search too, and what they leave comes in pages", func(w *world) {
		var want []string
		for i := range 24 {
			id := w.filed(func(c *chat.Conversation) {
				c.User = []string{"ann", "bob"}[i%2]
				c.Model = []string{"small", "large", ""}[i%3]
				c.Metadata = map[string]string{"n": fmt.Sprint(i % 4)}
				c.Title = []string{"red herring", "blue heron"}[i/12]
			})
			if i%2 == 0 && i%3 == 0 {
				want = append(want, id)
			}
		}
		q := chat.Query{User: "ann", Model: "small"}
		checkPages(w, want, w.pageOf(q))
		q.Search = w.search("her")
		checkPages(w, want, w.pageOf(q))
		q.Search = w.search("blue heron")
		w.equal(w.found(q), want[2:])
		q.Metadata = map[string]string{"n": "2"}
		w.equal(w.found(q), want[3:])
	}},
	{"a cursor need not meet the filter", func(w *world) {
		first := w.filed(func(c *chat.Conversation) { c.User = "ann" })
		second := w.filed(nil)
		third := w.filed(func(c *chat.Conversation) { c.User = "ann" })
		q := chat.Query{User: "ann", Page: chat.Page{After: second}}
		w.equal(w.found(q), []string{third})
		q.Page = chat.Page{After: second, Desc: true}
		w.equal(w.found(q), []string{first})
	}},
	{"filtered conversations are whole, and say nothing of a search", func(w *world) {
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(2)))
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 2}, User: c.User, Metadata: c.Metadata, Model: c.Model})
		w.ok(err)
		w.equal(list.Data, []chat.Hit{{Conversation: w.read(owner, c.ID)}})
	}},
	{"what is filtered keeps its order when it has activity", func(w *world) {
		first := w.filed(func(c *chat.Conversation) { c.User = "ann" })
		second := w.filed(func(c *chat.Conversation) { c.User = "ann" })
		w.ok(w.AppendItems(w.ctx, owner, nil, first, "", w.messages(1)))
		got := w.found(chat.Query{User: "ann", Page: chat.Page{Desc: true}})
		w.equal(got, []string{first, second})
		slices.Reverse(got)
		w.equal(w.found(chat.Query{User: "ann"}), got)
	}},
}
