package chat_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// largely writes output of every kind, each of it large, so that the texts are let go of while they come.
func largely(_ context.Context, yield func(llm.Event, error) bool) {
	n := 0
	piece := func() string {
		n++
		return strings.Repeat(fmt.Sprintf("piece %d, \"é\", of jane.doe@example.com; ", n), 25)
	}
	send := func(events ...llm.Event) bool {
		for _, ev := range events {
			if !yield(ev, nil) {
				return false
			}
		}
		return true
	}
	if !send(llm.Started{HTTPStatus: 200}) {
		return
	}
	for range 60 {
		if !send(llm.ReasoningDelta{Text: piece()}) {
			return
		}
	}
	if !send(llm.ReasoningEncrypted{Content: "EqQB/+=="}, llm.ReasoningEncrypted{Content: "hidden"}) {
		return
	}
	for range 90 {
		if !send(llm.TextDelta{Text: piece()}) {
			return
		}
	}
	for range 80 {
		if !send(llm.RefusalDelta{Text: piece()}) {
			return
		}
	}
	if !send(llm.ToolCallStarted{Index: 0, CallID: "call_1", Name: "write"}, llm.ToolCallDelta{Index: 0, Arguments: `{"text":"`}) {
		return
	}
	for range 70 {
		if !send(llm.ToolCallDelta{Index: 0, Arguments: strings.ReplaceAll(piece(), `"`, "'")}) {
			return
		}
	}
	send(llm.ToolCallDelta{Index: 0, Arguments: `"}`}, llm.TextDelta{Text: "Bye"}, llm.Finished{FinishReason: "stop"})
}

// What is told and stored of a large answer is what is told and stored of any other: its texts are only not held.
func TestALargeAnswerIsToldAndStoredWhole(t *testing.T) {
	w := newWorld(t, largely)
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	all := collect(t, run.Reader())
	ctx, read := context.WithCancel(t.Context())
	r, err := run.Wait(ctx)
	if read(); err != nil {
		t.Fatal(err)
	}
	var told, closed, items strings.Builder
	for i, ev := range all {
		if ev.number != i {
			t.Fatalf("event %d has the number %d", i, ev.number)
		}
		switch ev := ev.Event.(type) {
		case *chat.TextEvent:
			if ev.Done {
				closed.WriteString(ev.Text)
			} else {
				told.WriteString(ev.Text)
			}
		case *chat.ReasoningEvent:
			if ev.Done {
				closed.WriteString(ev.Text)
			} else {
				told.WriteString(ev.Text)
			}
		case *chat.ItemEvent:
			if ev.Done {
				items.WriteString(string(ev.Item.Content) + string(ev.Item.Data))
			}
		case *chat.ResponseEvent:
			if ev.Response.Status.Terminal() != (i == len(all)-1) {
				t.Errorf("event %d is %s", i, ev.Name)
			}
		}
	}
	if told.String() != closed.String() || told.Len() < 200<<10 {
		t.Errorf("told are %d bytes, and at its end %d", told.Len(), closed.Len())
	}
	last := all[len(all)-1].Event.(*chat.ResponseEvent).Response
	stored, err := w.Response(t.Context(), caller.Owner, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	for name, output := range map[string][]chat.Item{"the last event": last.Output, "what is waited for": r.Output, "what is stored": stored.Output} {
		var texts strings.Builder
		for _, it := range output {
			texts.WriteString(string(it.Content) + string(it.Data))
		}
		if len(output) != 5 || texts.String() != items.String() {
			t.Errorf("%s has %d items of %d bytes; told were %d", name, len(output), texts.Len(), items.Len())
		}
	}
	for from := 0; from < len(all); from += 37 {
		sameFrom(t, "after the end", collect(t, w.events(r.ID, from)), all, from)
	}
}

// begunLargely has a large answer wait ahead of its end, and returns when all that comes ahead of that was told.
func begunLargely(t *testing.T) (w *world, run *chat.Run, end func()) {
	t.Helper()
	told, release := make(chan struct{}), make(chan struct{})
	w = newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		largely(ctx, func(ev llm.Event, err error) bool {
			if _, ends := ev.(llm.Finished); ends {
				close(told)
				<-release
			}
			return yield(ev, err)
		})
	})
	run = w.stream(w.conversation(chat.Conversation{}), user("hi"))
	<-told
	return w, run, sync.OnceFunc(func() { close(release) })
}

func TestALargeAnswerIsReadOnWhileItComes(t *testing.T) {
	w, run, end := begunLargely(t)
	defer end()
	var got []chan []numbered
	froms := []int{0, 1, 50, 66, 67, 68, 160, 161, 250, 330, 10000}
	for _, from := range froms {
		for _, s := range []*chat.Service{w.Service, w.beside()} {
			sub, err := s.Events(t.Context(), caller.Owner, run.Response().ID, from)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			c := make(chan []numbered, 1)
			got = append(got, c)
			go func() { c <- collect(t, sub) }()
		}
	}
	end()
	all := collect(t, run.Reader())
	for i, c := range got {
		sameFrom(t, "while it comes", <-c, all, froms[i/2])
	}
}

// A reader that falls behind is not cut off while it reads: it goes on in the event log.
func TestAReaderThatFallsBehindReadsOnInTheLog(t *testing.T) {
	w, run, end := begunLargely(t)
	defer end()
	reader := run.Reader()
	first, err := reader.Take(t.Context())
	if err != nil || first.Cut || first.First != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	end()
	rest := collect(t, reader)
	all := collect(t, w.events(run.Response().ID, 0))
	if len(first.Events)+len(rest) != len(all) {
		t.Fatalf("%d events, and %d, of %d", len(first.Events), len(rest), len(all))
	}
	sameFrom(t, "behind", rest, all, len(first.Events))
}

func TestALargeAnswerWhoseEndFailsIsEndedAgain(t *testing.T) {
	w, run, end := begunLargely(t)
	w.store.inject(true, "End", errDisk, errDisk)
	w.store.inject(false, "End", errDisk)
	end()
	all := collect(t, run.Reader())
	if last, ok := all[len(all)-1].Event.(*chat.ResponseEvent); !ok || last.Response.Status != chat.Completed || len(last.Response.Output) != 5 {
		t.Errorf("the last event is %+v", all[len(all)-1])
	}
	sameFrom(t, "after the end", collect(t, w.events(run.Response().ID, 0)), all, 0)
}

// Also where it is large, of an answer that cannot be stored nothing is told at its end, and a cancelled one is kept.
func TestALargeAnswerThatCannotBeStoredIsInterrupted(t *testing.T) {
	w, run, end := begunLargely(t)
	stop := make(chan struct{})
	w.store.hookNext("End", func() { close(stop) })
	errs := make([]error, 1000)
	for i := range errs {
		errs[i] = errDisk
	}
	w.store.inject(true, "End", errs...)
	end()
	<-stop
	drained, cancel := context.WithCancel(t.Context())
	cancel()
	go w.Drain(drained)
	all := collect(t, run.Reader())
	last, ok := all[len(all)-1].Event.(*chat.ResponseEvent)
	if !ok || last.Response.Status != chat.Interrupted || len(last.Response.Output) != 0 || last.Response.Error.Code != chat.CodeStoreUnavailable {
		t.Fatalf("the last event is %+v", all[len(all)-1])
	}
	for i, ev := range all[:len(all)-1] {
		if ev.number != i {
			t.Errorf("event %d has the number %d", i, ev.number)
		}
	}
}

func TestALargeWholeAnswerIsReadInItsTurn(t *testing.T) {
	text := strings.Repeat("of jane.doe@example.com; ", 10<<10)
	w := newWorld(t, says(text))
	run, err := w.respond(w.conversation(chat.Conversation{}), user("hi"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, read := context.WithCancel(t.Context())
		r, err := run.Wait(ctx)
		if read(); err != nil || len(r.Output) != 1 || len(r.Output[0].Content) != len(text)+2 {
			t.Fatalf("%d items, %v", len(r.Output), err)
		}
	}
	events := collect(t, w.events(run.Response().ID, 0))
	if done, ok := events[len(events)-1].Event.(*chat.ResponseEvent); !ok || len(done.Response.Output) != 1 || len(done.Response.Output[0].Content) != len(text)+2 {
		t.Errorf("the last event is %+v", events[len(events)-1].Event)
	}
}

// ailing is a store that does not do for one response what is asked of it. It is asked for that alone.
type ailing struct {
	chat.Store
	end      func(id string) error
	response func() error
	eventLog func(batches [][]byte) [][]byte
}

func (a *ailing) End(ctx context.Context, owner string, e *chat.Ending) error {
	if a.end != nil {
		if err := a.end(e.Response.ID); err != nil {
			return err
		}
	}
	return a.Store.End(ctx, owner, e)
}

func (a *ailing) Response(ctx context.Context, owner, id string) (chat.Response, error) {
	if a.response != nil {
		if err := a.response(); err != nil {
			return chat.Response{}, err
		}
	}
	return a.Store.Response(ctx, owner, id)
}

func (a *ailing) EventLog(ctx context.Context, owner, id string, from int) ([][]byte, error) {
	batches, err := a.Store.EventLog(ctx, owner, id, from)
	if a.eventLog != nil {
		batches = a.eventLog(batches)
	}
	return batches, err
}

// One whose end cannot be stored keeps no other from its own, however large it is.
func TestALargeAnswerThatCannotBeStoredKeepsNoOtherWaiting(t *testing.T) {
	tried := make(chan struct{})
	w := newWorld(t, says(strings.Repeat("larger than the room", 300<<10)), says(strings.Repeat("a large one", 10<<10)))
	var stuck string
	first := sync.OnceFunc(func() { close(tried) })
	w.Store = &ailing{Store: w.Store, end: func(id string) error {
		if id != stuck {
			return nil
		}
		first()
		return errDisk
	}}
	held := make(chan struct{})
	w.store.hookNext("AppendEvents", func() { <-held })
	one := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	stuck = one.Response().ID
	close(held)
	<-tried
	other := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	all := collect(t, other.Reader())
	if last, ok := all[len(all)-1].Event.(*chat.ResponseEvent); !ok || last.Response.Status != chat.Completed {
		t.Errorf("the last event is %+v", all[len(all)-1].Event)
	}
	if r := one.Response(); r.Status != chat.InProgress {
		t.Errorf("meanwhile the one that cannot be stored became %s", r.Status)
	}
	drained, cancel := context.WithCancel(t.Context())
	cancel()
	w.Drain(drained)
}

// A cancelled answer that has ended and cannot be read is shown without its output.
func TestALargeAnswerThatIsCancelledAndCannotBeReadIsShownAsItStands(t *testing.T) {
	told := make(chan struct{})
	w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		largely(ctx, func(ev llm.Event, err error) bool {
			if _, ends := ev.(llm.Finished); ends {
				close(told)
				<-ctx.Done()
				return yield(nil, upstreamError(false))
			}
			return yield(ev, err)
		})
	})
	store := &ailing{Store: w.Store}
	w.Store = store
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	<-told
	store.response = func() error { return errDisk }
	if r, err := w.Cancel(t.Context(), caller.Owner, run.Response().ID); err != nil || r.Status != chat.Cancelled || r.ID == "" || len(r.Output) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What is made of a log that cannot be read to its end is not the answer.
func TestALargeAnswerIsNotMadeOfAPartOfItsLog(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		largely(ctx, func(ev llm.Event, err error) bool { return yield(ev, err) })
	})
	short := 0
	w.Store = &ailing{Store: w.Store, eventLog: func(batches [][]byte) [][]byte {
		if short++; short < 3 {
			return batches[:min(len(batches), 2-short)]
		}
		return batches
	}}
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	r, err := run.Wait(t.Context())
	if err != nil || len(r.Output) != 5 || r.Status != chat.Completed {
		t.Errorf("%d items, %s, %v", len(r.Output), r.Status, err)
	}
	if short < 3 {
		t.Errorf("the log was read %d times", short)
	}
}

// returning takes events until their end as collect does, but gives what it has its turn for back, all of it and then from each event on.
func returning(t *testing.T, sub *chat.Subscription) (all []numbered, returned int) {
	t.Helper()
	next, again := -1, false
	for {
		b, err := sub.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Events) > 0 && sub.Wanted() != nil && (b.First > next || again) {
			from := b.First
			if again {
				from++
				all = append(all, numbered{b.Events[0], b.First})
			}
			next, again = b.First, !again
			returned++
			sub.Return(from)
		} else {
			for i, ev := range b.Events {
				all = append(all, numbered{ev, b.First + i})
			}
			if b.Ended {
				return all, returned
			}
		}
		select {
		case <-sub.C:
		case <-t.Context().Done():
			t.Fatal("the run did not end")
		}
	}
}

func TestWhatIsReturnedComesAgain(t *testing.T) {
	w, run, end := begunLargely(t)
	defer end()
	type outcome struct {
		all      []numbered
		returned int
	}
	live := make(chan outcome, 1)
	go func() {
		all, returned := returning(t, run.Reader())
		live <- outcome{all, returned}
	}()
	end()
	first := <-live
	all := collect(t, w.events(run.Response().ID, 0))
	for from := 0; from < len(all); from += 11 {
		got, _ := returning(t, w.events(run.Response().ID, from))
		sameFrom(t, "after the end", got, all, from)
	}
	_, returned := returning(t, w.events(run.Response().ID, 0))
	if first.returned == 0 || returned < 10 {
		t.Errorf("returned was %d times live, %d times after the end", first.returned, returned)
	}
	sameFrom(t, "live", first.all, all, 0)

	whole := newWorld(t, says(strings.Repeat("of jane.doe@example.com; ", 10<<10)))
	made, err := whole.respond(whole.conversation(chat.Conversation{}), user("hi"))
	if err != nil {
		t.Fatal(err)
	}
	id := made.Response().ID
	ctx, read := context.WithCancel(t.Context())
	_, err = made.Wait(ctx)
	if read(); err != nil {
		t.Fatal(err)
	}
	all = collect(t, whole.events(id, 0))
	got, returned := returning(t, whole.events(id, 0))
	if returned == 0 {
		t.Error("of an answer in one piece nothing was returned")
	}
	sameFrom(t, "in one piece", got, all, 0)
}

// hasSaidBye reports whether a batch has the last piece of text that largely writes.
func hasSaidBye(b chat.Batch) bool {
	return slices.ContainsFunc(b.Events, func(ev chat.Event) bool {
		text, ok := ev.(*chat.TextEvent)
		return ok && !text.Done && text.Text == "Bye"
	})
}

// What a reader has had of a large answer is in memory no longer than its turn lasts, however long the reader goes on.
func TestWhatWasTakenOfALargeAnswerIsLetGoOf(t *testing.T) {
	w, run, end := begunLargely(t)
	defer end()
	sub := w.events(run.Response().ID, 0)
	var taken []weak.Pointer[chat.TextEvent]
	for {
		b, err := sub.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range b.Events {
			if text, ok := ev.(*chat.TextEvent); ok && text.Done {
				taken = append(taken, weak.Make(text))
			}
		}
		if hasSaidBye(b) {
			break
		}
		<-sub.C
	}
	if _, err := sub.Take(t.Context()); err != nil || sub.Wanted() != nil {
		t.Fatalf("%v, or there is more to take", err)
	}
	runtime.GC()
	for _, text := range taken {
		if ev := text.Value(); ev != nil {
			t.Errorf("%d bytes of text are held", len(ev.Text))
		}
	}
	if len(taken) == 0 {
		t.Error("nothing was taken")
	}
	runtime.KeepAlive(sub)
}

// What is returned is made again of the log, which is not read a second time to find out where to go on.
func TestWhatIsReturnedIsMadeAgainByOneReadOfTheLog(t *testing.T) {
	w, run, end := begunLargely(t)
	end()
	all := collect(t, run.Reader())
	reads := 0
	w.Store = &ailing{Store: w.Store, eventLog: func(batches [][]byte) [][]byte {
		reads++
		return batches
	}}
	sub := w.events(run.Response().ID, 0)
	returned, made, again := false, 0, 0
	for {
		before := reads
		b, err := sub.Take(t.Context())
		switch {
		case err != nil:
			t.Fatal(err)
		case returned:
			again += reads - before
		}
		if b.Ended {
			if returned {
				break
			}
			returned, made = true, reads-before
			sub.Return(b.First)
		}
		<-sub.C
	}
	if made < 3 || again > made {
		t.Errorf("the last of %d events took %d reads to make, and %d to make again", len(all), made, again)
	}
}

// Where the log goes away while it is read, because the response is deleted, what is left of the answer does not pass for all of it.
func TestAnAnswerWhoseLogGoesAwayIsNotTakenForAWholeOne(t *testing.T) {
	w, run, end := begunLargely(t)
	end()
	all := collect(t, run.Reader())
	w.Drain(t.Context())
	store, reads := w.Store, 0
	for _, from := range []int{0, len(all) / 2, len(all) - 1} {
		for kept := range 40 {
			// After some reads, of which the last may have brought a batch alone: then the text is not large by then.
			last, alone := 1+kept/2, kept%2 == 0
			reads = 0
			w.Store = &ailing{Store: store, eventLog: func(batches [][]byte) [][]byte {
				switch reads++; {
				case reads > last:
					return nil
				case reads == last && alone:
					return batches[:min(len(batches), 1)]
				default:
					return batches
				}
			}}
			sub := w.events(run.Response().ID, from)
			for ended := false; !ended; {
				b, err := sub.Take(t.Context())
				if err != nil {
					if code(err) != chat.CodeEventLogExpired {
						t.Error(err)
					}
					break
				}
				if ended = b.Ended; ended {
					last, ok := b.Events[len(b.Events)-1].(*chat.ResponseEvent)
					if !ok || len(last.Response.Output) != 5 {
						t.Errorf("from %d, after %d reads: the last event is %T", from, kept, b.Events[len(b.Events)-1])
					}
					break
				}
				<-sub.C
			}
			sub.Close()
		}
	}
}
