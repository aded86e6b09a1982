package chat

import (
	"context"
	"errors"
	"testing"
)

func TestALargeAnswerWaitsForItsTurn(t *testing.T) {
	r, woken := newRoom(10), 0
	ready := func() { woken++ }
	first, second := r.ask("", 6, ready), r.ask("", 4, ready)
	third, fourth := r.ask("", 5, ready), r.ask("", 1, ready)
	if !first.has() || !second.has() || third.has() || fourth.has() || woken != 0 {
		t.Fatal("others have a seat than those that came first")
	}
	second.leave()
	second.leave()
	if third.has() || fourth.has() {
		t.Error("one came in ahead of its turn")
	}
	first.leave()
	if !third.has() || !fourth.has() || woken != 2 {
		t.Errorf("those whose turn it was were not let in and told: %d", woken)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.ask("", 9, nil).wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	third.leave()
	fourth.leave()
	larger := r.ask("", 20, nil)
	if next := r.ask("", 1, nil); !larger.has() || next.has() {
		t.Error("what is larger than the room does not have it for itself")
	}
	larger.leave()
	(*seat)(nil).leave()
	if r.used != 1 || len(r.waiting) != 0 {
		t.Errorf("%d are used in the end, %d wait", r.used, len(r.waiting))
	}
}

func TestSeatsThatGrowDoNotWaitForEachOtherForEver(t *testing.T) {
	r := newRoom(10)
	a, b, c := r.ask("", 4, nil), r.ask("", 4, nil), r.ask("", 2, nil)
	if err := a.grow(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := b.grow(ctx, 8); !errors.Is(err, context.Canceled) {
		t.Fatalf("two have more than there is: %v", err)
	}
	if err := a.grow(t.Context(), 16); err != nil {
		t.Fatal(err)
	}
	grown := make(chan error)
	go func() { grown <- b.grow(t.Context(), 8) }()
	a.leave()
	if err := <-grown; err != nil {
		t.Fatal(err)
	}
	b.leave()
	c.leave()
	if r.used != 0 || r.over != nil {
		t.Errorf("%d are used in the end", r.used)
	}
}

// Clients of one owner that take their time do not keep those of another waiting.
func TestOneOwnersLargeAnswersDoNotKeepOthersWaiting(t *testing.T) {
	r := newRoom(10)
	first, second := r.ask("a", 6, nil), r.ask("a", 20, nil)
	if other := r.ask("b", 5, nil); !first.has() || second.has() || !other.has() {
		t.Error("another owner waits")
	} else {
		if third := r.ask("c", 1, nil); third.has() {
			t.Error("there is more than the spare half")
		} else {
			third.leave()
		}
		other.leave()
	}
	if again := r.ask("b", 6, nil); again.has() {
		t.Error("one came in ahead of its turn")
	} else {
		again.leave()
	}
	first.leave()
	if other := r.ask("b", 5, nil); !second.has() || !other.has() {
		t.Error("one that has the room for itself keeps another owner waiting")
	} else {
		other.leave()
	}
	second.leave()
	if r.used != 0 || r.spare != 0 || len(r.held) != 0 {
		t.Errorf("%d and %d are used in the end, by %v", r.used, r.spare, r.held)
	}
}
