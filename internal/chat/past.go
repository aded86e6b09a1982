package chat

import (
	"context"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// Codes of events that cannot be read.
const (
	CodeNotStreamed     = "not_streamed"
	CodeEventLogExpired = "event_log_expired"
)

// EventLogLife is how long the event log of a response is kept after its end.
const EventLogLife = 24 * time.Hour

// Events reads the events of a response from the one numbered from, those that were and those that come. Of a response that was
// made in one piece, which has no event log, they are made from what is stored; while it runs: Conflict, not_streamed. Where the log is
// not kept any more: Gone, event_log_expired. The caller must Close the subscription.
func (s *Service) Events(ctx context.Context, owner, id string, from int) (*Subscription, error) {
	sub := newSubscription(max(from, 0))
	sub.past = &past{service: s, owner: owner, id: id}
	if run := s.run(id); run != nil && run.owner == owner && !run.unstored && run.log != nil {
		sub.run = run
	} else if err := sub.past.open(ctx); err != nil {
		return nil, err
	}
	sub.notify()
	return sub, nil
}

func notStreamed() *fault.Error {
	return fault.New(fault.Conflict, CodeNotStreamed, "This response is made in one piece and has no events before its end. Read the response itself, or prompt with stream or background.")
}

func logExpired() *fault.Error {
	return fault.New(fault.Gone, CodeEventLogExpired, "The events of this response are not kept any more. Read the response itself.")
}

// past reads the events of a response from the store.
type past struct {
	service   *Service
	owner, id string
	player    *player
	// batch is the number of the log's batch that is read next, unplayed what was read and not played, found how many the last look has found.
	batch    int
	unplayed [][]byte
	found    int
	// caughtUp: the last look has found what there was to find, fresh: that was one batch. quiet counts those that have found nothing since.
	caughtUp, fresh bool
	quiet           int
	// final is the response once it is known how it ended, without its output; what is read of the log after that is all of it. size is
	// how long the output is.
	final *Response
	size  int
	// over: the player has made the last events.
	over bool
}

// ends sets how the response has ended.
func (p *past) ends(r Response) {
	p.size = sizeOf(r.Output)
	r.Output = nil
	p.final = &r
}

// open reads the response and the beginning of its log, so that what is wrong with them is found at once and not in the middle of an answer.
func (p *past) open(ctx context.Context) error {
	if p.final == nil {
		r, err := p.service.Store.Response(ctx, p.owner, p.id)
		if err != nil {
			return err
		}
		p.play(&r)
		if r.Status.Terminal() {
			p.ends(r)
		}
	} else {
		p.play(p.final)
	}
	r, ended := &p.player.response, p.final != nil
	switch {
	case r.LastEvent == 0 && !ended:
		return notStreamed()
	case r.LastEvent == 0:
		return nil
	case ended && p.service.Now().Sub(r.CompletedAt) > EventLogLife:
		return logExpired()
	}
	batches, err := p.read(ctx)
	if err == nil && ended && batches == 0 {
		return logExpired()
	}
	return err
}

// play begins to play.
func (p *past) play(r *Response) {
	p.player = newPlayer(r)
	p.player.reply.sheds = true
}

// pause lets go of what can be read again.
func (p *past) pause() { p.batch, p.unplayed = p.batch-len(p.unplayed), nil }

// read plays the batch that comes next in the log, and returns how many the look at the log has found that has found it.
func (p *past) read(ctx context.Context) (found int, err error) {
	if len(p.unplayed) == 0 {
		p.unplayed, err = p.service.Store.EventLog(ctx, p.owner, p.id, p.batch)
		if err != nil || len(p.unplayed) == 0 {
			return 0, err
		}
		p.found = len(p.unplayed)
		p.batch += p.found
	}
	next := p.unplayed[0]
	p.unplayed = p.unplayed[1:]
	return p.found, p.player.play(next)
}

// take is the next of the events, which the reader may have had.
func (p *past) take(ctx context.Context, s *Subscription) (Batch, error) {
	if p.player == nil {
		if err := p.open(ctx); err != nil {
			return Batch{}, err
		}
	}
	p.player.skip(s.next)
	advanced := len(p.player.events) == 0
	if advanced {
		if err := p.advance(ctx, s); err != nil {
			return Batch{}, err
		}
		p.player.skip(s.next)
	}
	if len(p.player.events) > 0 && isLogged(p.player.events[0]) {
		if !s.takeSeat(p.service.rooms().reading, p.player.reply.written) {
			return Batch{First: s.next}, nil
		}
		if err := p.replay(ctx); err != nil {
			return Batch{}, err
		}
	}
	b := Batch{}
	b.Events, b.First = p.player.take()
	b.Ended = p.over && len(p.player.events) == 0
	if len(p.player.events) > 0 || !advanced && !b.Ended {
		s.notify()
	}
	return b, nil
}

// returned reads on with the events numbered so, up to the one numbered until, which were taken: they are to be replayed.
func (p *past) returned(from, until int) *past {
	if p.final != nil && p.final.LastEvent == 0 {
		// There is no log to play; they are made of what is stored, as for a reader that comes anew.
		return &past{service: p.service, owner: p.owner, id: p.id, final: p.final, size: p.size}
	}
	p.pause()
	p.player.next = from
	p.player.events = append(slices.Repeat([]Event{&logged{}}, until-from), p.player.events...)
	return p
}

// replay makes the events that are to be taken with the texts that they repeat.
func (p *past) replay(ctx context.Context) error {
	whole := newPlayer(&p.player.response)
	whole.from = p.player.next
	batches := p.batch - len(p.unplayed)
	played, err := p.service.playLog(ctx, whole, p.owner, p.id, batches)
	if err != nil {
		return err
	}
	if p.over && !whole.end(p.final) || played < batches || len(whole.events) != len(p.player.events) {
		// Some of the log is not there any more.
		return logExpired()
	}
	p.player.events = whole.events
	return nil
}

// playLog plays so many batches of an event log, or as many as there are, and returns how many those were.
func (s *Service) playLog(ctx context.Context, p *player, owner, id string, batches int) (played int, err error) {
	for played < batches {
		read, err := s.Store.EventLog(ctx, owner, id, played)
		if err != nil || len(read) == 0 {
			return played, err
		}
		read = read[:min(len(read), batches-played)]
		for _, b := range read {
			if err := p.play(b); err != nil {
				return played, err
			}
		}
		played += len(read)
	}
	return played, nil
}

// advance makes more events and has the reader come again, at once or after a while.
func (p *past) advance(ctx context.Context, s *Subscription) error {
	if p.over {
		return nil
	}
	if p.final != nil && p.final.LastEvent == 0 {
		return p.stored(ctx, s)
	}
	if p.fresh {
		// The next batch is not due yet, but there may be none.
		p.fresh = false
		return p.await(ctx, s)
	}
	// Whatever the run does not hold any more is in the log; if it is not, the log was removed.
	logged := s.run != nil && s.run.isLogged(s.next)
	batches, err := p.read(ctx)
	switch {
	case err != nil:
		return err
	case batches > 0:
		p.quiet, p.caughtUp = 0, p.caughtUp && batches == 1 && s.run == nil && p.final == nil
		if p.fresh = p.caughtUp; p.fresh {
			s.later(followPause)
		} else {
			s.notify()
		}
		return nil
	case logged:
		return logExpired()
	case s.run != nil:
		s.awaitLog()
		return nil
	case p.final != nil:
		if !p.player.end(p.final) {
			return logExpired()
		}
		p.over = true
		return nil
	}
	p.caughtUp = true
	p.quiet++
	return p.await(ctx, s)
}

// await looks whether the response has ended and has the reader come again: at once if it has, else after a pause.
func (p *past) await(ctx context.Context, s *Subscription) error {
	ended, err := p.ended(ctx)
	switch {
	case err != nil:
		return err
	case ended != nil:
		p.ends(*ended)
		s.notify()
	case p.quiet > followQuiet:
		s.later(followIdle)
	default:
		s.later(followPause)
	}
	return nil
}

// stored makes the events of a response that has no log.
func (p *past) stored(ctx context.Context, s *Subscription) error {
	if p.size > largeAnswer && !s.takeSeat(p.service.rooms().reading, p.size) {
		return nil
	}
	r, err := p.service.Store.Response(ctx, p.owner, p.id)
	if err != nil {
		return err
	}
	final := *p.final
	final.Output = r.Output
	p.player.reply.sheds = false
	p.player.stored(&final)
	p.over = true
	return nil
}

// ended is the response once it has ended, and nil until then.
func (p *past) ended(ctx context.Context) (*Response, error) {
	if shared, ok := p.service.Store.(Shared); ok {
		if runs, err := shared.Runs(ctx, p.owner, p.id); err != nil || runs {
			return nil, err
		}
	}
	r, err := p.service.Store.Response(ctx, p.owner, p.id)
	if err != nil || !r.Status.Terminal() {
		return nil, err
	}
	return &r, nil
}
