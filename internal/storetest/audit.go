package storetest

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// fullRecord has every field that a caller sets.
func (w *world) fullRecord() audit.Record {
	return w.record(audit.KindOutcome, func(r *audit.Record) {
		r.User, r.ConversationID, r.ResponseID, r.ItemID, r.Attempt = "u_123", "conv_1", w.id("resp_"), "msg_1", 3
		r.Provider, r.Model, r.UpstreamHost, r.Status, r.HTTPStatus = "openai", "gpt", "api.example.com", "failed", 429
		r.ErrorCode, r.FinishReason, r.Usage, r.UsageSource = "upstream_rate_limited", "length", &audit.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}, audit.UsageProvider
		r.FirstTokenMS, r.DurationMS = ptr(int64(5)), ptr(int64(0))
		r.Cost = &audit.Cost{AmountMicros: 450, Currency: "USD", PriceVersion: "list 1", Estimated: true}
		r.Mask = &audit.Mask{EngineVersion: "1", Policy: "tag", Counts: []audit.Count{{Entity: "EMAIL", N: 2}, {Entity: "PHONE", N: 1}}}
		r.Payloads = []audit.Payload{
			audit.NewPayload(audit.PartResponse, "hello [MASKED_EMAIL] 你好"), audit.NewCommitment(audit.PartContext, 7, []byte("sent")),
			audit.NewPayload(audit.PartToolCall, ""), audit.NewPayload(audit.PartError, "a\x00b\n"),
		}
	})
}

// asSealed is a record as the log gives it back: at the place in its chain where got stands.
func asSealed(rec, got audit.Record) audit.Record {
	rec.Chain, rec.Seq, rec.PrevHash, rec.Hash = got.Chain, got.Seq, got.PrevHash, got.Hash
	rec.Time = kept(rec.Time)
	return rec
}

// recordIDs are the ids of a page of records.
func (w *world) recordIDs(owner string, q audit.Query) []string {
	w.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	recs, _, err := w.Records(w.ctx, owner, q)
	w.ok(err)
	list := []string{}
	for i := range recs {
		list = append(list, recs[i].ID)
	}
	return list
}

// export is what an export yields.
func (w *world) export(owner string, from, to time.Time) []*audit.Row {
	w.t.Helper()
	var rows []*audit.Row
	w.ok(w.Export(w.ctx, owner, from, to, func(row *audit.Row) error {
		kept, err := audit.ParseExport(audit.AppendExport(nil, row))
		w.ok(err)
		rows = append(rows, &kept)
		return nil
	}))
	return rows
}

func exportedIDs(rows []*audit.Row) []string {
	list := []string{}
	for _, r := range rows {
		if r.Owner != "" {
			list = append(list, r.ID)
		}
	}
	return list
}

var auditCases = []testCase{
	{"a record comes back as it was given, with its texts", func(w *world) {
		for _, rec := range []audit.Record{w.fullRecord(), w.record(audit.KindRead, nil)} {
			w.ok(w.Append(w.ctx, rec))
			got, err := w.Record(w.ctx, owner, rec.ID)
			w.ok(err)
			w.equal(got, asSealed(rec, got))
		}
	}},
	{"a record with one text comes back with it", func(w *world) {
		rec := w.record(audit.KindRefused, func(r *audit.Record) {
			r.Payloads = []audit.Payload{audit.NewPayload(audit.PartPrompt, "only one")}
		})
		w.ok(w.Append(w.ctx, rec))
		got, err := w.Record(w.ctx, owner, rec.ID)
		w.ok(err)
		w.equal(got, asSealed(rec, got))
	}},
	{"a list holds no texts", func(w *world) {
		rec := w.fullRecord()
		w.ok(w.Append(w.ctx, rec))
		recs, _, err := w.Records(w.ctx, owner, audit.Query{Limit: 1})
		w.ok(err)
		want := asSealed(rec, recs[0])
		want.Payloads = slices.Clone(want.Payloads)
		for i := range want.Payloads {
			want.Payloads[i].Text, want.Payloads[i].Salt = "", nil
		}
		w.equal(recs, []audit.Record{want})
	}},
	{"records come newest first, or oldest first, in pages", func(w *world) {
		var want []string
		at := w.now()
		for i := range 6 {
			// Two at a time in the same millisecond: the order of writing decides.
			rec := w.record(audit.KindRead, func(r *audit.Record) { r.Time = at.Add(time.Duration(i/2) * time.Second) })
			w.ok(w.Append(w.ctx, rec))
			want = append(want, rec.ID)
		}
		checkPages(w, want, func(p chat.Page) ([]string, bool, error) {
			recs, more, err := w.Records(w.ctx, owner, audit.Query{Limit: p.Limit, After: p.After, Before: p.Before, Asc: !p.Desc})
			list := []string{}
			for i := range recs {
				list = append(list, recs[i].ID)
			}
			return list, more, err
		})
	}},
	{"records are found by conversation, response, kind and time, and by all of it together", func(w *world) {
		at := w.now().Truncate(time.Millisecond)
		var recs []audit.Record
		for i, fields := range []struct{ conversation, response string }{{"c1", "r1"}, {"c1", "r1"}, {"c1", "r2"}, {"c2", "r3"}, {"", ""}} {
			recs = append(recs, w.record([]audit.Kind{audit.KindIntent, audit.KindOutcome}[i%2], func(r *audit.Record) {
				r.Time = at.Add(time.Duration(i) * time.Second)
				r.ConversationID, r.ResponseID = fields.conversation, fields.response
				if r.ResponseID != "" {
					r.Attempt = 1
				}
			}))
		}
		w.ok(w.Append(w.ctx, recs...))
		pick := func(places ...int) []string {
			list := []string{}
			for _, i := range places {
				list = append(list, recs[i].ID)
			}
			return list
		}
		second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
		for _, c := range []struct {
			q    audit.Query
			want []string
		}{
			{audit.Query{}, pick(4, 3, 2, 1, 0)},
			{audit.Query{Asc: true}, pick(0, 1, 2, 3, 4)},
			{audit.Query{ConversationID: "c1"}, pick(2, 1, 0)},
			{audit.Query{ConversationID: "c1", Asc: true, Limit: 2}, pick(0, 1)},
			{audit.Query{ResponseID: "r1"}, pick(1, 0)},
			{audit.Query{Kind: audit.KindOutcome}, pick(3, 1)},
			{audit.Query{From: second(1)}, pick(4, 3, 2, 1)},
			{audit.Query{To: second(1)}, pick(0)},
			{audit.Query{From: second(1).Add(1)}, pick(4, 3, 2)},
			{audit.Query{To: second(1).Add(1)}, pick(1, 0)},
			{audit.Query{From: second(1), To: second(3)}, pick(2, 1)},
			{audit.Query{From: second(1), To: second(3), After: recs[2].ID}, pick(1)},
			{audit.Query{From: second(1), To: second(3), Asc: true, Before: recs[2].ID}, pick(1)},
			{audit.Query{ConversationID: "c1", ResponseID: "r1", Kind: audit.KindIntent, From: second(0), To: second(9)}, pick(0)},
			{audit.Query{ConversationID: "c2", ResponseID: "r1"}, pick()},
			{audit.Query{ConversationID: "none"}, pick()},
		} {
			w.equal(w.recordIDs(owner, c.q), c.want)
		}
	}},
	{"another owner's records do not exist", func(w *world) {
		mine := w.record(audit.KindRead, nil)
		theirs := w.record(audit.KindRead, func(r *audit.Record) { r.Owner, r.ConversationID = other, "c1" })
		w.ok(w.Append(w.ctx, mine, theirs))
		w.equal(w.recordIDs(owner, audit.Query{}), []string{mine.ID})
		w.equal(w.recordIDs(owner, audit.Query{ConversationID: "c1"}), []string{})
		w.equal(w.recordIDs(other, audit.Query{}), []string{theirs.ID})
		_, err := w.Record(w.ctx, owner, theirs.ID)
		w.fault(err, fault.NotFound, chat.CodeRecordNotFound)
		_, err = w.Record(w.ctx, owner, "aud_none")
		w.fault(err, fault.NotFound, chat.CodeRecordNotFound)
	}},
	{"an attempt has one intent and one outcome", func(w *world) {
		t := w.begin(w.conversation())
		second := w.attempt(audit.KindIntent, &t.Response)
		if err := w.Append(w.ctx, second); err == nil {
			w.t.Error("a second intent was taken")
		}
		w.equal(w.recorded(second.ID), false)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed)))
		w.equal(len(w.recordIDs(owner, audit.Query{ResponseID: t.Response.ID})), 2)
	}},
	{"records are appended all or none", func(w *world) {
		first := w.record(audit.KindRead, nil)
		w.ok(w.Append(w.ctx, first))
		fresh := w.record(audit.KindRead, nil)
		if err := w.Append(w.ctx, fresh, first); err == nil {
			w.t.Error("a record was taken twice")
		}
		w.equal(w.recorded(fresh.ID), false)
		w.ok(w.Append(w.ctx, fresh))
		w.equal(w.recorded(fresh.ID), true)
	}},
	{"a change and its records stand or fall together", func(w *world) {
		first := w.record(audit.KindRead, nil)
		w.ok(w.Append(w.ctx, first))
		c := w.conversation(w.messages(2)...)
		items := w.items(c.ID)
		// Every change comes with a record that cannot be written.
		created := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		t := w.turn(c, w.messages(1)...)
		t.Intent = first
		_, updateErr := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { c.Title = "changed"; return nil }, first)
		_, editErr := w.UpdateItem(w.ctx, owner, c.ID, items[0].ID, 0, func(it *chat.Item) error { it.Content = items[1].Content; return nil }, first)
		for name, err := range map[string]error{
			"CreateConversation": w.CreateConversation(w.ctx, owner, nil, &created, w.messages(1), first),
			"UpdateConversation": updateErr,
			"DeleteConversation": w.DeleteConversation(w.ctx, owner, c.ID, 0, "", first),
			"AppendItems":        w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1), first),
			"AppendItems of two": w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(2), first),
			"UpdateItem":         editErr,
			"DeleteItem":         w.DeleteItem(w.ctx, owner, c.ID, items[0].ID, 0, first),
			"Begin":              w.Begin(w.ctx, owner, t),
			"BeginAside":         w.BeginAside(w.ctx, owner, nil, &t.Response, first),
		} {
			if err == nil {
				w.t.Errorf("%s: took effect without its record", name)
			}
		}
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.items(c.ID), items)
		_, err := w.Conversation(w.ctx, owner, created.ID)
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)

		begun := w.begin(c)
		e := w.ending(begun, chat.Completed, w.messages(1)...)
		e.Outcome.ID = first.ID
		if err := w.End(w.ctx, owner, e); err == nil {
			w.t.Error("End: took effect without its record")
		}
		w.equal(w.read(owner, c.ID).ActiveResponse, begun.Response.ID)
		w.equal(len(w.items(c.ID)), 3)
	}},
	{"an export is the whole log in order, and verifies", func(w *world) {
		var want []string
		for range 3 {
			t := w.begin(w.conversation())
			want = append(want, t.Intent.ID)
			e := w.ending(t, chat.Completed, w.messages(1)...)
			e.Outcome.Payloads = []audit.Payload{audit.NewPayload(audit.PartResponse, "a text of [MASKED_EMAIL]")}
			w.ok(w.End(w.ctx, owner, e))
			want = append(want, e.Outcome.ID)
		}
		rows := w.export("", time.Time{}, time.Time{})
		w.equal(exportedIDs(rows), want)
		v := audit.NewVerifier()
		var e audit.Exporter
		for _, row := range rows {
			v.AddExport(bytes.TrimSuffix(e.Append(nil, row), []byte("\n")))
		}
		v.AddExport(bytes.TrimSuffix(e.AppendEnd(nil), []byte("\n")))
		report := v.FinishExport()
		w.equal(report.Findings, []audit.Finding{})
		w.equal(report.Records, int64(len(rows)))
	}},
	{"an export of a range of time begins and ends with it", func(w *world) {
		var recs []audit.Record
		for range 5 {
			recs = append(recs, w.record(audit.KindRead, nil))
		}
		w.ok(w.Append(w.ctx, recs...))
		ids := func(from, to time.Time) []string { return exportedIDs(w.export(owner, from, to)) }
		w.equal(ids(kept(recs[1].Time), kept(recs[3].Time)), []string{recs[1].ID, recs[2].ID})
		w.equal(ids(kept(recs[3].Time), recs[4].Time.Add(time.Hour)), []string{recs[3].ID, recs[4].ID})
		w.equal(ids(recs[4].Time.Add(time.Hour), recs[4].Time.Add(2*time.Hour)), []string{})
	}},
	{"a record of a range that was sealed late leaves no hole in its chain", func(w *world) {
		first, late, last := w.record(audit.KindRead, nil), w.record(audit.KindRead, nil), w.record(audit.KindRead, nil)
		late.Time = first.Time.Add(-time.Millisecond)
		w.ok(w.Append(w.ctx, first, late, last))
		w.equal(exportedIDs(w.export(owner, kept(first.Time), last.Time.Add(time.Hour))), []string{first.ID, late.ID, last.ID})
	}},
	{"an export holds nothing of other owners", func(w *world) {
		mine := w.record(audit.KindRead, nil)
		theirs := w.record(audit.KindRead, func(r *audit.Record) { r.Owner = other })
		w.ok(w.Append(w.ctx, mine, theirs))
		w.equal(exportedIDs(w.export(owner, time.Time{}, time.Time{})), []string{mine.ID})
		w.equal(exportedIDs(w.export(other, time.Time{}, time.Time{})), []string{theirs.ID})
		w.equal(exportedIDs(w.export("", time.Time{}, time.Time{})), []string{mine.ID, theirs.ID})
	}},
	{"an export of many records comes in pages, whole", func(w *world) {
		var want []string
		var recs []audit.Record
		for range 1203 {
			r := w.record(audit.KindRead, nil)
			recs, want = append(recs, r), append(want, r.ID)
		}
		w.ok(w.Append(w.ctx, recs...))
		w.equal(exportedIDs(w.export(owner, time.Time{}, time.Time{})), want)
	}},
	{"an export ends where its reader does not go on", func(w *world) {
		w.ok(w.Append(w.ctx, w.record(audit.KindRead, nil), w.record(audit.KindRead, nil)))
		stop, n := errors.New("enough"), 0
		err := w.Export(w.ctx, owner, time.Time{}, time.Time{}, func(*audit.Row) error {
			n++
			return stop
		})
		if !errors.Is(err, stop) || n != 1 {
			w.t.Errorf("%v after %d", err, n)
		}
	}},
}
