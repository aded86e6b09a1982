package chat

import (
	"context"
	"errors"
	"testing"
)

func TestALargeAnswerWaitsForItsTurn(t *testing.T) {
	r, woken := newRoom(10), 0
	ready := func() { woken++ }
	first, second := r.ask(6, ready), r.ask(4, ready)
	third, fourth := r.ask(5, ready), r.ask(1, ready)
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
	if err := r.ask(9, nil).wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	third.leave()
	fourth.leave()
	larger := r.ask(20, nil)
	if next := r.ask(1, nil); !larger.has() || next.has() {
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
	a, b, c := r.ask(4, nil), r.ask(4, nil), r.ask(2, nil)
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

func TestWhoHasASeatIsToldThatOthersWait(t *testing.T) {
	r := newRoom(10)
	wanted := func(p *seat) bool {
		select {
		case <-p.isWanted():
			return true
		default:
			return false
		}
	}
	first := r.ask(6, nil)
	asked := first.isWanted()
	if wanted(first) || (*seat)(nil).isWanted() != nil {
		t.Error("nobody waits")
	}
	second := r.ask(6, nil)
	<-asked
	if third := r.ask(1, nil); !wanted(first) {
		t.Error("two wait")
	} else {
		third.leave()
	}
	if second.leave(); wanted(first) {
		t.Error("nobody waits any more")
	}
	third := r.ask(6, nil)
	if !wanted(first) {
		t.Error("another one waits")
	}
	if first.leave(); !third.has() || wanted(third) {
		t.Error("nobody waits for the seat of the last one")
	}
	third.leave()
}

// Also for a request that was sent again a large answer counts as read for as long as the caller has it.
func TestALargeAnswerThatIsAskedForAgainIsReadInItsTurn(t *testing.T) {
	run := ended(Response{Status: Completed})
	var turn context.Context
	run.readStored(func(ctx context.Context) (Response, error) {
		turn = ctx
		return Response{}, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	again := &Idempotency{Key: "again", Replayed: true}
	if _, err := again.WaitAgain(ctx, run); err != nil || turn.Err() != nil {
		t.Errorf("%v; the turn is over: %v", err, turn.Err())
	}
	if stop(); turn.Err() == nil {
		t.Error("the turn lasts")
	}
}
