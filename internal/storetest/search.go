package storetest

import (
	"fmt"
	"strings"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

func (w *world) search(q string) search.Query {
	w.t.Helper()
	parsed, err := search.Parse(q)
	w.ok(err)
	return parsed
}

// finds are the ids of what a search finds, the least active first.
func (w *world) finds(q string) []string {
	w.t.Helper()
	return w.found(chat.Query{Search: w.search(q)})
}

// hit is the only conversation that a search finds, and how it shows: what matched in brackets.
func (w *world) hit(q string) (shown, itemID string) {
	w.t.Helper()
	list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 10}, Search: w.search(q)})
	w.ok(err)
	if len(list.Data) != 1 || list.Data[0].Match == nil {
		w.t.Fatalf("%d hits: %+v", len(list.Data), list.Data)
	}
	m := list.Data[0].Match
	chars := []rune(m.Text)
	var b strings.Builder
	at := 0
	for _, r := range m.Matches {
		b.WriteString(string(chars[at:r.Start]) + "[" + string(chars[r.Start:r.End]) + "]")
		at = r.End
	}
	return b.String() + string(chars[at:]), m.ItemID
}

// talk creates a conversation with a title and messages of a user.
func (w *world) talk(title string, texts ...string) (id string, itemIDs []string) {
	w.t.Helper()
	items := make([]chat.Item, len(texts))
	for i, text := range texts {
		items[i] = w.message(llm.User, text)
	}
	return w.filed(func(c *chat.Conversation) { c.Title = title }, items...), ids(items)
}

var searchCases = []testCase{
	{"a search finds words in titles and messages, in any order, the last one by its start", func(w *world) {
		a, _ := w.talk("Trip to Lisbon", "Which hotel is near the river?")
		b, _ := w.talk("Cooking", "A pan from Lisbon", "and a river of soup")
		w.talk("Nothing", "at all")
		for q, want := range map[string][]string{
			"lisbon": {a, b}, "LISB": {a, b}, "river lisbon": {a, b}, "hotel lis": {a}, "lis hotel": {}, "pan soup": {b}, "soup pan": {b},
			"hotel soup": {}, "isbon": {}, "trip to lisbon hotel river": {a}, "quokka": {}, "lisbon quokka": {},
		} {
			w.equal(w.finds(q), want)
		}
	}},
	{"a search knows no case, no accents and no operators", func(w *world) {
		a, _ := w.talk("Fähre über die Straße", "Ein Café in Łódź")
		for _, q := range []string{"fahre", "FÄHRE", "STRASSE", "straß", "cafe", "lodz", "Ca\u0301fe"} {
			w.equal(w.finds(q), []string{a})
		}
		for _, q := range []string{"fähre OR nothing", `"die Straße" NOT café`, "title:fähre", "fähre* nothing", "a' OR '1'='1"} {
			w.equal(w.finds(q), []string{})
		}
		w.equal(w.finds(`"fähre" (straße)`), []string{a})
	}},
	{"a search finds Chinese, Japanese and Korean by parts, and emoji", func(w *world) {
		zh, _ := w.talk("旅行", "我想去北京大学学习")
		ja, _ := w.talk("猫", "吾輩は猫である。ﾊﾞﾅﾅ 🍌")
		ko, _ := w.talk("동물", "고양이가 좋아요")
		for q, want := range map[string][]string{
			"北京": {zh}, "大学学习": {zh}, "学": {zh}, "习": {zh}, "京都": {}, "猫": {ja}, "である": {ja}, "バナナ": {ja}, "🍌": {ja}, "🍎": {},
			"고양이": {ko}, "좋아": {ko}, "北京 猫": {}, "旅行 北京": {zh},
		} {
			w.equal(w.finds(q), want)
		}
	}},
	{"a search shows the newest of the messages that hold most of it, else the title", func(w *world) {
		_, items := w.talk("Of herons", "A heron is a bird.", "Herons\neat  fish.", "Fish swim.", "Nothing more.")
		for _, c := range []struct{ q, shown, item string }{
			{"heron", "[Herons] eat fish.", items[1]},
			{"fish", "[Fish] swim.", items[2]},
			{"bird heron", "A [heron] is a [bird].", items[0]},
			{"fish heron", "[Herons] eat [fish].", items[1]},
			{"of", "[Of] herons", ""},
		} {
			shown, item := w.hit(c.q)
			w.equal([]string{shown, item}, []string{c.shown, c.item})
		}
	}},
	{"a search finds what was written in every way, and only text", func(w *world) {
		id, _ := w.talk("", "created aardvark")
		w.ok(w.AppendItems(w.ctx, owner, nil, id, "titled badger", []chat.Item{w.message(llm.User, "appended cat")}))
		w.ok(w.AppendItems(w.ctx, owner, nil, id, "", []chat.Item{
			w.item(llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: []byte(`[{"type":"text","text":"part dingo"},{"type":"image_url","image_url":{"url":"https://example.com/emu.png"}}]`)}),
			w.call("call_fox"), w.output("call_fox"),
		}))
		t := w.turn(w.read(owner, id), w.message(llm.User, "asked gnu"))
		w.ok(w.Begin(w.ctx, owner, t))
		w.equal(w.finds("gnu"), []string{id})
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Failed, w.message(llm.Assistant, "answered hare"))))
		for _, q := range []string{"aardvark", "badger", "cat", "dingo", "gnu", "hare", "aardvark hare badger"} {
			w.equal(w.finds(q), []string{id})
		}
		for _, q := range []string{"emu", "image_url", "fox", "message"} {
			w.equal(w.finds(q), []string{})
		}
	}},
	{"a search finds what a title and a message are now", func(w *world) {
		id, items := w.talk("old ibex", "old jackal", "other koala")
		w.equal(w.finds("ibex jackal"), []string{id})
		_, err := w.UpdateConversation(w.ctx, owner, id, 0, func(c *chat.Conversation) error { c.Title = "new lemur"; return nil })
		w.ok(err)
		w.equal(w.finds("ibex"), []string{})
		w.equal(w.finds("lemur"), []string{id})
		_, err = w.UpdateItem(w.ctx, owner, id, items[0], 0, func(it *chat.Item) error { it.Content = []byte(`"new \"mole\""`); it.EditedAt = w.now(); return nil })
		w.ok(err)
		w.equal(w.finds("jackal"), []string{})
		w.equal(w.finds("mole koala"), []string{id})
		w.ok(w.DeleteItem(w.ctx, owner, id, items[1], 0))
		w.equal(w.finds("koala"), []string{})
		w.equal(w.finds("mole"), []string{id})
		_, err = w.UpdateConversation(w.ctx, owner, id, 0, func(c *chat.Conversation) error { c.Title = ""; return nil })
		w.ok(err)
		w.equal(w.finds("lemur"), []string{})
		w.ok(w.AppendItems(w.ctx, owner, nil, id, "titled newt", w.messages(1)))
		w.equal(w.finds("newt"), []string{id})
		w.ok(w.DeleteConversation(w.ctx, owner, id, 0, ""))
		w.equal(w.finds("mole"), []string{})
	}},
	{"what is changed right after it was written is found as it is then", func(w *world) {
		// No search in between, so that a store which indexes on the side has not yet done so.
		id, items := w.talk("first ocelot", "first panda", "second quail", "third raven")
		_, err := w.UpdateItem(w.ctx, owner, id, items[2], 0, func(it *chat.Item) error { it.Content = []byte(`"third seal"`); return nil })
		w.ok(err)
		w.ok(w.DeleteItem(w.ctx, owner, id, items[0], 0))
		_, err = w.UpdateConversation(w.ctx, owner, id, 0, func(c *chat.Conversation) error { c.Title = "second tapir"; return nil })
		w.ok(err)
		w.equal(w.finds("quail seal tapir"), []string{id})
		for _, q := range []string{"ocelot", "panda", "raven"} {
			w.equal(w.finds(q), []string{})
		}
	}},
	{"output that a new answer has superseded is not found", func(w *world) {
		id, _ := w.talk("")
		for _, searched := range []bool{true, false} {
			t := w.begin(w.read(owner, id))
			w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an old unicorn"))))
			if searched {
				w.equal(w.finds("unicorn"), []string{id})
			}
			w.regenerated(id, chat.Failed, w.message(llm.Assistant, "a failed viper"))
			w.regenerated(id, chat.Completed, w.message(llm.Assistant, "a new walrus"))
			w.equal(w.finds("unicorn"), []string{})
			w.equal(w.finds("viper"), []string{})
			w.equal(w.finds("question walrus"), []string{id})
		}
	}},
	{"a fork is found like what it was copied from", func(w *world) {
		id, items := w.talk("of yaks", "a yak", "a zebra")
		c := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.ForkConversation(w.ctx, owner, nil, id, items[0], &c))
		w.equal(w.finds("yak"), []string{id, c.ID})
		w.equal(w.finds("zebra"), []string{id})
	}},
	{"a search finds an owner's own conversations", func(w *world) {
		mine, _ := w.talk("shared secret")
		w.filed(func(c *chat.Conversation) { c.Owner, c.Title = other, "shared secret of others" }, w.message(llm.User, "secret"))
		w.equal(w.finds("secret"), []string{mine})
		w.equal(w.finds("others"), []string{})
	}},
	{"what a search finds comes in pages, in both orders and both directions", func(w *world) {
		var want []string
		for i := range 9 {
			id, _ := w.talk(fmt.Sprintf("number %d", i), []string{"common word", "common herring", "nothing"}[i%3])
			if i%3 != 2 {
				want = append(want, id)
			}
		}
		checkPages(w, want, w.pageOf(chat.Query{Search: w.search("number common")}))
		checkPages(w, want, w.pageOf(chat.Query{Search: w.search("com")}))
		w.ok(w.AppendItems(w.ctx, owner, nil, want[0], "", w.messages(1)))
		checkPages(w, append(want[1:], want[0]), w.pageOf(chat.Query{Search: w.search("common")}))
	}},
	{"a page of a search ends early once what was read for it passes the bound", func(w *world) {
		for range 3 {
			w.talk("", "needle "+strings.Repeat("hay ", 1000))
		}
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 10, MaxBytes: 4000}, Search: w.search("needle")})
		w.ok(err)
		w.equal(len(list.Data), 1)
		w.equal(list.HasMore, true)
	}},
	{"a search finds words of long messages and of long conversations", func(w *world) {
		long, _ := w.talk("", strings.Repeat("filler ", 20_000)+"needle")
		items := w.messages(1000)
		items[3] = w.message(llm.User, "a needle far up")
		w.conversation(items...)
		w.equal(len(w.finds("needle")), 2)
		w.equal(w.finds("filler needle"), []string{long})
		shown, _ := w.hit("filler needle")
		w.equal(strings.HasSuffix(shown, "[filler] [needle]"), true)
	}},
	{"a search of terms that are everywhere, but never together, finds nothing", func(w *world) {
		for i := range 150 {
			w.talk([]string{"red", "blue"}[i%2])
		}
		w.equal(w.finds("red blue"), []string{})
		w.equal(len(w.finds("red")), 75)
	}},
}
