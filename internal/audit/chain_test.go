package audit

import (
	"bytes"
	"testing"
)

func TestSealNumbersRecordsFromOneAndLinksThem(t *testing.T) {
	c := NewChain("inst/1")
	if h := c.Head(); c.Name() != "inst/1" || h != (Head{Chain: "inst/1"}) {
		t.Fatalf("a new chain is %q with head %+v", c.Name(), h)
	}
	before := [32]byte{}
	for seq := int64(1); seq <= 3; seq++ {
		// What the record carried from elsewhere does not matter.
		r := Record{ID: "aud_1", Time: testTime, Kind: KindRead, Chain: "other", Seq: 99, PrevHash: [32]byte{1}, Hash: [32]byte{2}}
		header := c.Seal(&r)
		if r.Chain != "inst/1" || r.Seq != seq || r.PrevHash != before || r.Hash != HashHeader(header) {
			t.Fatalf("record %d is %+v", seq, r)
		}
		if h := c.Head(); h != (Head{Chain: "inst/1", Seq: seq, Hash: r.Hash}) {
			t.Fatalf("the head is %+v", h)
		}
		before = r.Hash
	}
}

func TestSealReturnsBytesThatBelongToTheCaller(t *testing.T) {
	c := NewChain("c")
	one := Record{ID: "aud_1"}
	header := c.Seal(&one)
	kept := bytes.Clone(header)
	two := Record{ID: "aud_2"}
	c.Seal(&two)
	if !bytes.Equal(header, kept) {
		t.Error("the next record overwrote the header")
	}
}

func TestAppendSealIsSealWithAPrefix(t *testing.T) {
	a, b := NewChain("c"), NewChain("c")
	one, two := goldenRecords()[1], goldenRecords()[1]
	header := a.Seal(&one)
	if got := b.AppendSeal([]byte("before"), &two); string(got) != "before"+string(header) || one.Hash != two.Hash {
		t.Errorf("%s", got)
	}
}

func TestARestoredHeadMakesWhatFollowedUndone(t *testing.T) {
	c := NewChain("c")
	first := Record{ID: "aud_1", Time: testTime}
	c.Seal(&first)
	head := c.Head()
	closing := Record{ID: "aud_2", Time: testTime, Kind: KindChainClosed}
	c.Seal(&closing)
	if !c.Head().Closed {
		t.Fatal("a closing record does not close the chain")
	}
	c.Restore(head)
	again := Record{ID: "aud_3", Time: testTime}
	c.Seal(&again)
	if again.Seq != 2 || again.PrevHash != first.Hash || c.Head().Closed {
		t.Errorf("%+v", again)
	}
}

func TestAResumedChainGoesOn(t *testing.T) {
	c := NewChain("c")
	first := Record{ID: "aud_1", Time: testTime}
	c.Seal(&first)
	resumed := ResumeChain(c.Head())
	sealed := Record{ID: "aud_2", Time: testTime, Kind: KindChainSealed}
	resumed.Seal(&sealed)
	if sealed.Chain != "c" || sealed.Seq != 2 || sealed.PrevHash != first.Hash || !resumed.Head().Closed {
		t.Errorf("%+v, head %+v", sealed, resumed.Head())
	}
}

func TestSealAllocatesTheHeaderOnly(t *testing.T) {
	c := NewChain("c")
	r := goldenRecords()[1]
	dst := make([]byte, 0, 4096)
	c.AppendSeal(dst, &r)
	if n := testing.AllocsPerRun(100, func() { c.Seal(&r) }); n > 1 {
		t.Errorf("Seal allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { c.AppendSeal(dst, &r) }); n > 0 {
		t.Errorf("AppendSeal allocates %v times", n)
	}
}
