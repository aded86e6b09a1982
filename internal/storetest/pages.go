package storetest

import (
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// walk reads a list page by page in one direction and returns all ids in the list's order.
func walk(w *world, limit int, desc, backwards bool, page func(p chat.Page) (ids []string, more bool, err error)) []string {
	w.t.Helper()
	var all []string
	p := chat.Page{Limit: limit, Desc: desc}
	for range 100 {
		got, more, err := page(p)
		w.ok(err)
		if len(got) > limit {
			w.t.Fatalf("a page of %d has %d elements", limit, len(got))
		}
		if backwards {
			all = append(slices.Clone(got), all...)
		} else {
			all = append(all, got...)
		}
		if !more {
			return all
		}
		if len(got) != limit {
			w.t.Fatalf("a page of %d ended at %d though there is more", limit, len(got))
		}
		if backwards {
			p.Before = got[0]
		} else {
			p.After = got[len(got)-1]
		}
	}
	w.t.Fatal("the list has no end")
	return nil
}

// checkPages demands that pages of every size in both orders and both directions make up the list want, which is in
// ascending order.
func checkPages(w *world, want []string, page func(p chat.Page) (ids []string, more bool, err error)) {
	w.t.Helper()
	down := slices.Clone(want)
	slices.Reverse(down)
	for limit := 1; limit <= len(want)+1; limit++ {
		w.equal(walk(w, limit, false, false, page), want)
		w.equal(walk(w, limit, true, false, page), down)
		for _, desc := range []bool{false, true} {
			// Backwards from the last element: all that stand ahead of it.
			list := want
			if desc {
				list = down
			}
			last := list[len(list)-1]
			got := walk(w, limit, desc, true, func(p chat.Page) ([]string, bool, error) {
				if p.Before == "" {
					p.Before = last
				}
				return page(p)
			})
			w.equal(got, list[:len(list)-1])
			// Between two elements.
			got, more, err := page(chat.Page{Limit: limit, Desc: desc, After: list[0], Before: last})
			w.ok(err)
			between := list[1 : len(list)-1]
			w.equal(got, between[:min(limit, len(between))])
			w.equal(more, len(between) > limit)
		}
	}
	for _, p := range []chat.Page{{Limit: 1, After: "none"}, {Limit: 1, Before: "none"}, {Limit: 1, After: want[0], Before: "none", Desc: true}} {
		_, _, err := page(p)
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
	}
}

func (w *world) itemPage(conversationID string) func(p chat.Page) ([]string, bool, error) {
	return func(p chat.Page) ([]string, bool, error) {
		list, err := w.Items(w.ctx, owner, conversationID, p)
		return ids(list.Data), list.HasMore, err
	}
}

func (w *world) conversationPage(p chat.Page) ([]string, bool, error) {
	list, err := w.Conversations(w.ctx, owner, chat.Query{Page: p})
	names := make([]string, len(list.Data))
	for i := range list.Data {
		names[i] = list.Data[i].ID
	}
	return names, list.HasMore, err
}

var pageCases = []testCase{
	{"items come in pages by seq, in both orders and both directions", func(w *world) {
		before := w.conversation(w.messages(3)...)
		c := w.conversation(w.messages(7)...)
		w.conversation(w.messages(3)...)
		checkPages(w, ids(w.items(c.ID)), w.itemPage(c.ID))
		_, err := w.Items(w.ctx, owner, c.ID, chat.Page{Limit: 1, After: w.items(before.ID)[0].ID})
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
	}},
	{"items that come while one pages are neither skipped nor shown twice", func(w *world) {
		c := w.conversation(w.messages(6)...)
		want := ids(w.items(c.ID))
		page := w.itemPage(c.ID)
		grow := func(p chat.Page) ([]string, bool, error) {
			got, more, err := page(p)
			w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)))
			return got, more, err
		}
		slices.Reverse(want)
		w.equal(walk(w, 2, true, false, grow), want)

		p := chat.Page{Limit: 4}
		var seen []string
		for range 3 {
			got, _, err := grow(p)
			w.ok(err)
			seen = append(seen, got...)
			p.After = got[len(got)-1]
		}
		w.equal(seen, ids(w.items(c.ID))[:len(seen)])
	}},
	{"items that were deleted are left out and their neighbours stay", func(w *world) {
		c := w.conversation(w.messages(5)...)
		all := ids(w.items(c.ID))
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, all[2], 0))
		checkPages(w, []string{all[0], all[1], all[3], all[4]}, w.itemPage(c.ID))
	}},
	{"a page ends early once its content passes the bound", func(w *world) {
		c := w.conversation(w.messages(5)...)
		all := ids(w.items(c.ID))
		size := len(w.items(c.ID)[0].Content)
		for _, bound := range []struct {
			bytes, want int
		}{{1, 1}, {size - 1, 1}, {size, 2}, {2*size - 1, 2}, {2 * size, 3}, {5 * size, 5}, {0, 5}} {
			list, err := w.Items(w.ctx, owner, c.ID, chat.Page{Limit: 10, MaxBytes: bound.bytes})
			w.ok(err)
			w.equal(ids(list.Data), all[:bound.want])
			w.equal(list.HasMore, bound.want < 5)
		}
		list, err := w.Items(w.ctx, owner, c.ID, chat.Page{Limit: 10, MaxBytes: 1, Before: all[3]})
		w.ok(err)
		w.equal(ids(list.Data), []string{all[2]})
		w.equal(list.HasMore, true)
	}},
	{"conversations come in pages by last activity, then age", func(w *world) {
		at := w.now()
		var want []string
		for _, offset := range []int{0, 1, 1, 1, 2, 3, 3} {
			c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: at, UpdatedAt: at.Add(time.Duration(offset) * time.Hour)}
			w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(1)))
			w.conversationOf(other)
			want = append(want, c.ID)
		}
		checkPages(w, want, w.conversationPage)
	}},
	{"a page goes on from where its last conversation stood, also when that has moved or is gone", func(w *world) {
		first, second, third := w.conversation(), w.conversation(), w.conversation()
		for _, desc := range []bool{true, false} {
			want := []string{first.ID}
			if !desc {
				want = []string{third.ID}
			}
			p := chat.Page{Limit: 10, Desc: desc, After: second.ID, AfterActivity: second.UpdatedAt}
			got, _, err := w.conversationPage(p)
			w.ok(err)
			w.equal(got, want)
		}
		w.ok(w.AppendItems(w.ctx, owner, nil, second.ID, "", w.messages(1)))
		p := chat.Page{Limit: 10, Desc: true, After: second.ID, AfterActivity: second.UpdatedAt}
		got, _, err := w.conversationPage(p)
		w.ok(err)
		w.equal(got, []string{first.ID})
		w.ok(w.DeleteConversation(w.ctx, owner, second.ID, 0, ""))
		got, _, err = w.conversationPage(p)
		w.ok(err)
		w.equal(got, []string{first.ID})
	}},
	{"an item, an edit and a turn make a conversation the most active one", func(w *world) {
		first, second := w.conversation(w.messages(1)...), w.conversation(w.messages(1)...)
		newest := func(want chat.Conversation) {
			w.t.Helper()
			list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 10, Desc: true}})
			w.ok(err)
			w.equal(list.Data[0].ID, want.ID)
			w.equal(len(list.Data), 2)
		}
		newest(second)
		w.ok(w.AppendItems(w.ctx, owner, nil, first.ID, "", w.messages(1)))
		newest(first)
		_, err := w.UpdateItem(w.ctx, owner, second.ID, w.items(second.ID)[0].ID, 0, func(it *chat.Item) error { it.EditedAt = w.now(); return nil })
		w.ok(err)
		newest(second)
		t := w.begin(w.read(owner, first.ID))
		newest(first)
		w.equal(w.read(owner, first.ID).UpdatedAt, kept(t.Response.CreatedAt))
		w.ok(w.AppendItems(w.ctx, owner, nil, second.ID, "", w.messages(1)))
		newest(second)
		e := w.ending(t, chat.Completed)
		w.ok(w.End(w.ctx, owner, e))
		newest(first)
		w.equal(w.read(owner, first.ID).UpdatedAt, kept(e.Response.CompletedAt))
	}},
	{"conversations in a list are whole", func(w *world) {
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(2)))
		w.answered(c.ID)
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 1}})
		w.ok(err)
		w.equal(conversations(list), []chat.Conversation{w.read(owner, c.ID)})
	}},
	{"responses come in pages by age", func(w *world) {
		c, neighbour := w.conversation(), w.conversation()
		var want []string
		for range 5 {
			want = append(want, w.answered(c.ID).ID)
			w.answered(neighbour.ID)
		}
		checkPages(w, want, func(p chat.Page) ([]string, bool, error) {
			list, err := w.Responses(w.ctx, owner, c.ID, p)
			names := make([]string, len(list.Data))
			for i := range list.Data {
				names[i] = list.Data[i].ID
			}
			return names, list.HasMore, err
		})
		_, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 1, After: w.answered(neighbour.ID).ID})
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
	}},
	{"responses in a list are whole, as far as the bound goes", func(w *world) {
		c := w.conversation()
		var want []chat.Response
		for range 3 {
			want = append(want, w.answered(c.ID))
		}
		list, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10})
		w.ok(err)
		w.equal(list.Data, want)
		list, err = w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10, MaxBytes: 1})
		w.ok(err)
		w.equal(list.Data, want[:1])
		w.equal(list.HasMore, true)
	}},
}
