package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallLog has three chains: inst/1 closed, inst/2 crashed and sealed with its outcome in inst/3, inst/3 running.
//
//	inst/1: started, intent, outcome, edited, closed
//	inst/2: started, intent, edited, sealed
//	inst/3: started, outcome of inst/2, intent, outcome, intent
func smallLog() *testLog {
	l := &testLog{}
	l.start()
	l.begin()
	l.end(0, "completed")
	l.add(l.record(KindMessageEdited))
	l.add(l.record(KindChainClosed))
	l.start()
	l.begin()
	l.add(l.record(KindMessageEdited))
	l.start()
	l.end(0, "unknown_after_crash")
	l.begin()
	l.end(0, "completed")
	l.begin()
	return l
}

func TestAnHonestLogVerifies(t *testing.T) {
	rep := verify(smallLog().rows())
	if !rep.OK || rep.Records != 14 || rep.Chains != 3 || rep.Pending != 1 || !slices.Equal(rep.Open, []string{"inst/3"}) || len(rep.Findings) != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestAnEmptyLogVerifies(t *testing.T) {
	got, err := json.Marshal(NewVerifier().Finish())
	if err != nil || string(got) != `{"ok":true,"records":0,"chains":0,"open":[],"pending":0,"findings":[]}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestHonestLogsRaiseNoAlarm(t *testing.T) {
	r := newRand(t)
	open, pending := 0, 0
	for i := range *rounds * 200 {
		l := honestLog(r)
		rep := verify(l.rows())
		if !rep.OK || rep.Chains != int64(len(l.chains)) || rep.Records != int64(len(l.rows())) || rep.Pending != len(l.open) {
			t.Fatalf("log %d: %d are open, %+v", i, len(l.open), rep)
		}
		open, pending = open+len(rep.Open), pending+rep.Pending
		newestFirst := slices.Clone(l.chains)
		slices.Reverse(newestFirst)
		if rep := verify(slices.Concat(newestFirst...)); !rep.OK {
			t.Fatalf("log %d, newest chain first: %+v", i, rep)
		}
	}
	if open == 0 || pending == 0 {
		t.Errorf("%d open chains and %d pending intents: the logs are not what they should be", open, pending)
	}
}

func TestTheVerifierKeepsNothingOfARow(t *testing.T) {
	v := NewVerifier()
	buf := &Row{}
	for _, r := range smallLog().rows() {
		header, hash := append(buf.Header[:0], r.Header...), append(buf.Hash[:0], r.Hash...)
		*buf = *r
		buf.Header, buf.Hash = header, hash
		v.Add(buf)
		clear(buf.Header)
		clear(buf.Hash)
	}
	if rep := v.Finish(); !rep.OK {
		t.Errorf("%+v", rep)
	}
}

// at finds the place of a record by its chain, from 1, and number.
func at(rows []*Row, chain, seq int) int {
	return slices.IndexFunc(rows, func(r *Row) bool { return r.Chain == fmt.Sprintf("inst/%d", chain) && r.Seq == int64(seq) })
}

// reseal seals the record of a row anew, changed, as the one behind head.
func reseal(r *Row, head Head, change func(*Record)) (*Row, Head) {
	rec, err := ParseHeader(r.Header)
	if err != nil {
		panic(err)
	}
	change(&rec)
	c := ResumeChain(head)
	header := c.Seal(&rec)
	sealed := row(header, &rec)
	sealed.Payloads = r.Payloads
	return sealed, c.Head()
}

// headBefore is the head that the i-th row was sealed behind.
func headBefore(rows []*Row, i int) Head {
	rec, err := ParseHeader(rows[i].Header)
	if err != nil {
		panic(err)
	}
	return Head{Chain: rec.Chain, Seq: rec.Seq - 1, Hash: rec.PrevHash}
}

// rehash changes the i-th row and seals it and the rest of its chain anew.
func rehash(rows []*Row, i int, change func(*Record)) {
	chain, head := rows[i].Chain, headBefore(rows, i)
	for ; i < len(rows) && rows[i].Chain == chain; i++ {
		rows[i], head = reseal(rows[i], head, change)
		change = func(*Record) {}
	}
}

func forgeOwner(r *Record) { r.Owner = "mallory" }

func TestEveryTamperingIsCalledByItsName(t *testing.T) {
	type rows = []*Row
	insert := func(l rows, i int, r *Row) rows { return slices.Insert(l, i, r) }
	for _, c := range []struct {
		name   string
		tamper func(l rows) rows
		// want is kind, chain and number of each finding, in order.
		want []string
	}{
		{"a letter of a header", func(l rows) rows {
			r := l[at(l, 1, 3)]
			r.Header = []byte(strings.Replace(string(r.Header), "gpt-4o", "gpt-5o", 1))
			return l
		}, []string{"modified inst/1 3"}},
		{"a header that cannot be read", func(l rows) rows {
			r := l[at(l, 1, 3)]
			r.Header = r.Header[:len(r.Header)-1]
			hash := HashHeader(r.Header)
			r.Hash = hash[:]
			return l
		}, []string{"modified inst/1 3"}},
		{"a header written otherwise", func(l rows) rows {
			r := l[len(l)-1]
			r.Header = []byte(strings.Replace(string(r.Header), `"default"`, `"d\u0065fault"`, 1))
			hash := HashHeader(r.Header)
			r.Hash = hash[:]
			return l
		}, []string{"modified inst/3 5"}},
		{"a hash", func(l rows) rows { l[at(l, 2, 1)].Hash[7] ^= 1; return l }, []string{"modified inst/2 1"}},
		{"no hash", func(l rows) rows { l[at(l, 2, 1)].Hash = nil; return l }, []string{"modified inst/2 1"}},
		{"column id", func(l rows) rows { l[at(l, 1, 3)].ID = "aud_x"; return l }, []string{"modified inst/1 3"}},
		{"column chain", func(l rows) rows { l[at(l, 1, 3)].Chain = "x"; return l }, []string{"modified inst/1 3"}},
		{"column seq", func(l rows) rows { l[at(l, 1, 3)].Seq = 77; return l }, []string{"modified inst/1 3"}},
		{"column time", func(l rows) rows {
			r := l[at(l, 1, 3)]
			r.Time = r.Time.Add(time.Millisecond)
			return l
		}, []string{"modified inst/1 3"}},
		{"column kind", func(l rows) rows { l[at(l, 1, 3)].Kind = KindRead; return l }, []string{"modified inst/1 3"}},
		{"column owner", func(l rows) rows { l[at(l, 1, 3)].Owner = "x"; return l }, []string{"modified inst/1 3"}},
		{"column conversation", func(l rows) rows { l[at(l, 1, 3)].ConversationID = "x"; return l }, []string{"modified inst/1 3"}},
		{"column response", func(l rows) rows { l[at(l, 1, 3)].ResponseID = "x"; return l }, []string{"modified inst/1 3"}},
		{"column attempt", func(l rows) rows { l[at(l, 1, 3)].Attempt++; return l }, []string{"modified inst/1 3"}},

		{"a record left out", func(l rows) rows { i := at(l, 1, 4); return slices.Delete(l, i, i+1) }, []string{"missing inst/1 4"}},
		{"three records left out", func(l rows) rows { i := at(l, 1, 2); return slices.Delete(l, i, i+3) }, []string{"missing inst/1 2"}},
		{"a chain's first record left out", func(l rows) rows { return l[1:] }, []string{"missing inst/1 1"}},
		{"an outcome left out", func(l rows) rows { i := at(l, 1, 3); return slices.Delete(l, i, i+1) }, []string{"missing inst/1 3", "unpaired inst/1 2"}},
		{"an intent left out", func(l rows) rows { i := at(l, 1, 2); return slices.Delete(l, i, i+1) }, []string{"missing inst/1 2", "unpaired inst/1 3"}},
		{"a chain's end cut off", func(l rows) rows { i := at(l, 1, 4); return slices.Delete(l, i, i+2) }, []string{"truncated inst/1 5"}},
		{"a whole chain left out", func(l rows) rows { return l[at(l, 2, 1):] }, []string{"truncated inst/1 5"}},

		{"a record twice", func(l rows) rows { i := at(l, 1, 3); return insert(l, i, l[i].clone()) }, []string{"inserted inst/1 3"}},
		{"a record number 0", func(l rows) rows {
			i := at(l, 1, 3)
			forged, _ := reseal(l[i], Head{Chain: "inst/1", Seq: -1}, forgeOwner)
			return insert(l, i, forged)
		}, []string{"inserted inst/1 0"}},
		{"a record behind the closing one", func(l rows) rows {
			i := at(l, 1, 5)
			forged, _ := reseal(l[at(l, 1, 4)], Head{Chain: "inst/1", Seq: 5, Hash: [32]byte(l[i].Hash)}, forgeOwner)
			return insert(l, i+1, forged)
		}, []string{"inserted inst/1 6"}},
		{"a record that links to nothing", func(l rows) rows {
			i := at(l, 1, 4)
			l[i], _ = reseal(l[i], Head{Chain: "inst/1", Seq: 3, Hash: [32]byte{1}}, forgeOwner)
			return l
		}, []string{"inserted inst/1 4", "inserted inst/1 5"}},
		{"a first record that follows another", func(l rows) rows {
			l[0], _ = reseal(l[0], Head{Chain: "inst/1", Hash: [32]byte{1}}, forgeOwner)
			return l
		}, []string{"inserted inst/1 1", "inserted inst/1 2"}},
		{"a record sealed anew alone", func(l rows) rows {
			i := at(l, 1, 4)
			l[i], _ = reseal(l[i], headBefore(l, i), forgeOwner)
			return l
		}, []string{"inserted inst/1 5"}},

		{"another record in a place", func(l rows) rows {
			i := at(l, 1, 4)
			forged, _ := reseal(l[i], headBefore(l, i), forgeOwner)
			return insert(l, i+1, forged)
		}, []string{"forked inst/1 4"}},
		{"two records behind one", func(l rows) rows {
			i := at(l, 1, 4)
			h := headBefore(l, i)
			h.Seq++
			l[i+1], _ = reseal(l[i+1], h, forgeOwner)
			return l
		}, []string{"forked inst/1 5", "truncated inst/1 5"}},

		{"two records swapped", func(l rows) rows {
			i := at(l, 1, 3)
			l[i], l[i+1] = l[i+1], l[i]
			return l
		}, []string{"reordered inst/1 3"}},
		{"a record moved to the end", func(l rows) rows {
			i := at(l, 1, 2)
			r := l[i]
			return insert(slices.Delete(l, i, i+1), at(l, 1, 5), r)
		}, []string{"reordered inst/1 2", "unpaired inst/1 2"}},
		{"the ends of two chains swapped", func(l rows) rows {
			i := at(l, 2, 1)
			l[i-1], l[i] = l[i], l[i-1]
			return l
		}, []string{"reordered inst/1 5", "reordered inst/2 2"}},

		{"a chain that a later one names sealed anew", func(l rows) rows {
			rehash(l, at(l, 1, 4), forgeOwner)
			return l
		}, []string{"truncated inst/1 5"}},
		{"a chain made longer, then sealed anew", func(l rows) rows {
			i := at(l, 1, 4)
			head := headBefore(l, i)
			var longer rows
			for range 20 {
				var r *Row
				r, head = reseal(l[i], head, forgeOwner)
				longer = append(longer, r)
			}
			return slices.Replace(l, i, i+2, longer...)
		}, []string{"truncated inst/1 5"}},

		{"a text", func(l rows) rows { *l[at(l, 1, 2)].Payloads[0].Text += "!"; return l }, []string{"payload_mismatch inst/1 2"}},
		{"a salt", func(l rows) rows { l[at(l, 1, 2)].Payloads[0].Salt[0]++; return l }, []string{"payload_mismatch inst/1 2"}},
		{
			"a text moved to another part", func(l rows) rows { l[at(l, 1, 3)].Payloads[0].Part = PartError; return l },
			[]string{"payload_missing inst/1 3", "payload_mismatch inst/1 3"},
		},
		{"a text more", func(l rows) rows {
			r := l[at(l, 1, 3)]
			r.Payloads = append(r.Payloads, r.Payloads[0])
			return l
		}, []string{"payload_mismatch inst/1 3"}},
		{"a text where none is kept", func(l rows) rows {
			text := "x"
			l[at(l, 1, 2)].Payloads[1].Text = &text
			return l
		}, []string{"payload_mismatch inst/1 2"}},
		{"no text", func(l rows) rows { l[at(l, 1, 2)].Payloads[0].Text = nil; return l }, []string{"payload_missing inst/1 2"}},
		{"no salt", func(l rows) rows { l[at(l, 1, 2)].Payloads[0].Salt = nil; return l }, []string{"payload_missing inst/1 2"}},
		{"no payload", func(l rows) rows { l[at(l, 1, 2)].Payloads = nil; return l }, []string{"payload_missing inst/1 2"}},
		{"the salt of what is not kept", func(l rows) rows {
			r := l[at(l, 1, 2)]
			r.Payloads = r.Payloads[:1]
			return l
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep := verify(c.tamper(cloneRows(smallLog().rows())))
			var got []string
			for _, f := range rep.Findings {
				got = append(got, fmt.Sprintf("%s %s %d", f.Kind, f.Chain, f.Seq))
			}
			if !slices.Equal(got, c.want) || rep.OK != (len(c.want) == 0) {
				t.Errorf("found %q, not %q: %+v", got, c.want, rep)
			}
		})
	}
}

func TestWhatTheEndOfTheLogHidesIsNotFound(t *testing.T) {
	cut := smallLog().rows()
	if rep := verify(cut[:len(cut)-2]); !rep.OK {
		t.Errorf("a cut that nothing can show was found: %+v", rep)
	}
	anew := cloneRows(cut)
	rehash(anew, at(anew, 3, 1), forgeOwner)
	if rep := verify(anew); !rep.OK {
		t.Errorf("a newest chain written anew was found: %+v", rep)
	}
}

func TestFindingsNameTheRecord(t *testing.T) {
	rows := cloneRows(smallLog().rows())
	rows[1].Owner = "x"
	got, err := json.Marshal(verify(rows).Findings)
	const want = `[{"kind":"modified","chain":"inst/1","seq":2,"record_id":"aud_000002","detail":"the column owner is not what the header says"}]`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestColumnsMayHoldWhatAHeaderCannot(t *testing.T) {
	l := &testLog{}
	l.start()
	r := l.record(KindRead)
	r.Owner, r.Time = "bad \xff", time.Date(12026, 1, 1, 0, 0, 0, 1234, time.UTC)
	l.add(r)
	if rep := verify(l.rows()); !rep.OK {
		t.Errorf("%+v", rep)
	}
}

func TestHeadsOfChainsThatStillRun(t *testing.T) {
	// Two servers write at one time: the second names the first's head, which then goes on.
	a, b := &testLog{}, &testLog{}
	a.start()
	head := a.chain.Head()
	for range 3 * keptHashes {
		a.begin()
		a.end(0, "completed")
	}
	b.chains, b.chain = [][]*Row{nil}, NewChain("other/1")
	started := b.record(KindServerStarted)
	started.Heads = []Head{head, {Chain: "unused/1"}}
	b.add(started)
	if rep := verify(slices.Concat(b.rows(), a.rows())); !rep.OK {
		t.Errorf("newest first: %+v", rep)
	}
	if rep := verify(slices.Concat(a.rows(), b.rows())); len(rep.Findings) != 1 || !strings.Contains(rep.Findings[0].Detail, "goes on to 49") {
		t.Errorf("oldest first, the head can no longer be compared: %+v", rep)
	}
	rows := cloneRows(a.rows())
	rehash(rows, 0, forgeOwner)
	rep := verify(slices.Concat(b.rows(), rows))
	if len(rep.Findings) != 1 || rep.Findings[0].Kind != FindingTruncated {
		t.Errorf("a chain written anew: %+v", rep)
	}
}

func TestAClaimWaitsForARecordThatComesLate(t *testing.T) {
	l := &testLog{}
	l.start()
	for range 3 {
		l.add(l.record(KindRead))
	}
	named := l.chains[0][1]
	closing := l.record(KindChainClosed)
	closing.Heads = []Head{{Chain: named.Chain, Seq: named.Seq, Hash: [32]byte{9}}}
	l.add(closing)
	rows := l.rows()
	late := append(slices.Delete(slices.Clone(rows), 1, 2), rows[1])
	rep := verify(late)
	if len(rep.Findings) != 2 || rep.Findings[0].Kind != FindingReordered || rep.Findings[1].Kind != FindingTruncated {
		t.Errorf("%+v", rep)
	}
}

func TestLateRecordsFillAGapPieceByPiece(t *testing.T) {
	l := &testLog{}
	l.start()
	for range 9 {
		l.add(l.record(KindRead))
	}
	rows, v := l.rows(), NewVerifier()
	for _, i := range []int{0, 9, 4, 2, 6} {
		v.Add(rows[i])
	}
	if v.gaps != 4 || len(v.order[0].gaps) != 4 {
		t.Errorf("%d gaps are counted, %d kept", v.gaps, len(v.order[0].gaps))
	}
	rep := v.Finish()
	var got []string
	for _, f := range rep.Findings {
		got = append(got, fmt.Sprint(f.Kind, " ", f.Seq, " ", f.Detail))
	}
	want := []string{
		"reordered 5 it comes behind record 10", "reordered 3 it comes behind record 10", "reordered 7 it comes behind record 10",
		"missing 2 this record is not there", "missing 4 this record is not there",
		"missing 6 this record is not there", "missing 8 the records from here to 9 are not there",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestALateRecordDoesNotHideTheNewestOnes(t *testing.T) {
	l := &testLog{}
	l.start()
	for range 9 + keptHashes {
		l.add(l.record(KindRead))
	}
	rows := cloneRows(l.rows())
	late, next := 1, 2+keptHashes
	rows[next], _ = reseal(rows[next], Head{Chain: rows[next].Chain, Seq: int64(next), Hash: [32]byte{9}}, forgeOwner)
	rep := verify(slices.Concat(rows[:late], rows[late+1:next], rows[late:late+1], rows[next:next+1]))
	var got []string
	for _, f := range rep.Findings {
		got = append(got, fmt.Sprint(f.Kind, " ", f.Seq))
	}
	if want := []string{"reordered 2", "inserted 11"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestHeadsThatAreNotThereAreReportedInTheOrderOfTheirRecords(t *testing.T) {
	l := &testLog{}
	l.start()
	for i := range 20 {
		r := l.record(KindServerStarted)
		r.Heads = []Head{{Chain: fmt.Sprint("gone/", i), Seq: 1}}
		l.add(r)
	}
	rep := verify(l.rows())
	for i, f := range rep.Findings {
		if f.Kind != FindingTruncated || f.Chain != fmt.Sprint("gone/", i) {
			t.Errorf("%d: %+v", i, f)
		}
	}
	if len(rep.Findings) != 20 {
		t.Errorf("%+v", rep)
	}
}

func TestEveryAttemptHasOneIntentAndOneOutcome(t *testing.T) {
	attempt := func(l *testLog, kind Kind, response string) {
		r := l.record(kind)
		r.ResponseID, r.Attempt = response, 1
		l.add(r)
	}
	closed := func(l *testLog) { l.add(l.record(KindChainClosed)) }
	for _, c := range []struct {
		name    string
		write   func(l *testLog)
		want    []string
		pending int
	}{
		{"no outcome, running", func(l *testLog) { attempt(l, KindIntent, "a") }, nil, 1},
		{"no outcome, closed", func(l *testLog) { attempt(l, KindIntent, "a"); closed(l) }, []string{"unpaired inst/1 2"}, 0},
		{"no outcome, the next server recovers", func(l *testLog) { attempt(l, KindIntent, "a"); l.start() }, nil, 1},
		{"no outcome, the next server serves", func(l *testLog) {
			attempt(l, KindIntent, "a")
			l.start()
			attempt(l, KindIntent, "b")
		}, []string{"unpaired inst/1 2"}, 1},
		{"no outcome, the next server has stopped", func(l *testLog) { attempt(l, KindIntent, "a"); l.start(); closed(l) }, []string{"unpaired inst/1 2"}, 0},
		{"outcome in a later chain", func(l *testLog) {
			attempt(l, KindIntent, "a")
			l.start()
			attempt(l, KindOutcome, "a")
			closed(l)
		}, nil, 0},
		{"no intent", func(l *testLog) { attempt(l, KindOutcome, "a") }, []string{"unpaired inst/1 2"}, 0},
		{"two outcomes", func(l *testLog) {
			attempt(l, KindIntent, "a")
			attempt(l, KindOutcome, "a")
			attempt(l, KindOutcome, "a")
		}, []string{"unpaired inst/1 4"}, 0},
		{"two outcomes and no intent", func(l *testLog) {
			attempt(l, KindOutcome, "a")
			attempt(l, KindOutcome, "a")
		}, []string{"unpaired inst/1 3", "unpaired inst/1 2"}, 0},
		{"two intents", func(l *testLog) {
			attempt(l, KindIntent, "a")
			attempt(l, KindIntent, "a")
			attempt(l, KindOutcome, "a")
		}, []string{"unpaired inst/1 3"}, 0},
		{"the outcome first", func(l *testLog) { attempt(l, KindOutcome, "a"); attempt(l, KindIntent, "a") }, []string{"unpaired inst/1 3"}, 0},
		{"another attempt's outcome", func(l *testLog) {
			attempt(l, KindIntent, "a")
			r := l.record(KindOutcome)
			r.ResponseID, r.Attempt = "a", 2
			l.add(r)
			closed(l)
		}, []string{"unpaired inst/1 2", "unpaired inst/1 3"}, 0},
		{"several of each", func(l *testLog) {
			for i := range 3 {
				attempt(l, KindIntent, fmt.Sprint("a", i))
				attempt(l, KindOutcome, fmt.Sprint("b", i))
			}
			closed(l)
		}, []string{
			"unpaired inst/1 2", "unpaired inst/1 4", "unpaired inst/1 6",
			"unpaired inst/1 3", "unpaired inst/1 5", "unpaired inst/1 7",
		}, 0},
		{"a refused prompt has neither", func(l *testLog) { attempt(l, KindRefused, "a"); closed(l) }, nil, 0},
		{"without a response there are no pairs", func(l *testLog) {
			attempt(l, KindIntent, "")
			attempt(l, KindIntent, "")
			attempt(l, KindOutcome, "")
			closed(l)
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &testLog{}
			l.start()
			c.write(l)
			rep := verify(l.rows())
			var got []string
			for _, f := range rep.Findings {
				got = append(got, fmt.Sprintf("%s %s %d", f.Kind, f.Chain, f.Seq))
			}
			if !slices.Equal(got, c.want) || rep.Pending != c.pending {
				t.Errorf("%+v", rep)
			}
		})
	}
}

func TestFindingsAreCappedAndTheRestIsCounted(t *testing.T) {
	l := &testLog{}
	l.start()
	for range 5000 {
		l.add(l.record(KindRead))
	}
	v := NewVerifier()
	for i, r := range l.rows() {
		if i%2 == 0 {
			v.Add(r)
		}
	}
	if n := len(v.order[0].gaps); n > maxFindings {
		t.Errorf("%d gaps are kept", n)
	}
	rep := v.Finish()
	if rep.OK || len(rep.Findings) != maxFindings || len(rep.Findings)+rep.Omitted != 2500 {
		t.Errorf("%d findings, %d omitted", len(rep.Findings), rep.Omitted)
	}
}

func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	v := NewVerifier()
	l := &testLog{}
	l.start()
	for range 5000 {
		l.begin()
		l.end(0, "completed")
		for _, r := range l.chains[0] {
			v.Add(r)
		}
		l.chains[0] = l.chains[0][:0]
		if n := len(v.pairs.intents) + len(v.pairs.outcomes) + len(v.claims) + len(v.order[0].gaps); n > 0 {
			t.Fatalf("after %d records %d are kept", v.report.Records, n)
		}
	}
	if rep := v.Finish(); !rep.OK || rep.Records != 10_001 {
		t.Errorf("%+v", rep)
	}
}
