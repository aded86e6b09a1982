package chat

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// Shared is what a Store is, too, that several processes use at one time. Each response has a lease then, which the process that makes it renews; who
// has itself seen it not renewed for a whole term, by its own clock, takes the response over.
//
// Of such a store, Orphans may be called at any time. It returns those that it has taken over, so that what their holder still writes is
// refused (response_ended), and those that it took over before and that have not ended yet.
type Shared interface {
	// UntilLapse is how long it is until the first lease runs out of those that Orphans has seen, if nobody renews it; false where it has seen none,
	// or none but such as have run out.
	UntilLapse() (time.Duration, bool)
	// Renew says that these responses are still being made by this process, and returns those that another process has taken over.
	Renew(ctx context.Context, running []Running) (lost []Running, err error)
	// Runs reports whether a response is there and has not ended. Whoever follows one that another process makes asks often.
	Runs(ctx context.Context, owner, id string) (bool, error)
	// RequestCancel asks the process that makes a response to stop it. One that has ended stays as it is.
	RequestCancel(ctx context.Context, owner, id string) error
	// CancelRequests are the responses of this process that it is asked to stop.
	CancelRequests(ctx context.Context) ([]Running, error)
}

// Running names a response that runs.
type Running struct{ Owner, ID string }

const (
	renewPause = 10 * time.Second
	// recoverPause is how often others' leases are looked at, besides the moments at which one may have run out.
	recoverPause = 2 * time.Second
	// requestPause is how often requests to cancel are looked for, while something runs.
	requestPause = 100 * time.Millisecond
)

// errLost stops a run whose response another process has taken over.
var errLost = errors.New("another process has taken the response over")

// Share does what a store needs that several processes use: it renews the leases of what runs here, looks for requests to cancel, and ends
// what others have left. It returns when ctx ends; on a store of one process at once.
func (s *Service) Share(ctx context.Context) {
	shared, ok := s.Store.(Shared)
	if !ok {
		return
	}
	renew, request := time.NewTicker(renewPause), time.NewTicker(requestPause)
	defer renew.Stop()
	defer request.Stop()
	// A slow look at what others have left must not hold up the leases.
	go func() {
		for {
			pause := recoverPause
			if lapse, ok := shared.UntilLapse(); ok {
				pause = min(pause, lapse)
			}
			select {
			case <-ctx.Done():
				return
			case <-after(pause):
				s.recoverOthers(ctx)
			}
		}
	}()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			err = s.renew(ctx, shared)
		case <-request.C:
			err = s.heedRequests(ctx, shared)
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("what this server shares with others could not be looked after; trying again", slog.Any("error", err))
		}
	}
}

// running are the responses that are made here.
func (s *Service) running() []Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Running, 0, len(s.runs))
	for id, run := range s.runs {
		list = append(list, Running{run.owner, id})
	}
	return list
}

func (s *Service) renew(ctx context.Context, shared Shared) error {
	running := s.running()
	if len(running) == 0 {
		return nil
	}
	lost, err := shared.Renew(ctx, running)
	if err != nil || len(lost) == 0 {
		return err
	}
	for _, r := range lost {
		s.Log.Warn("another server has taken a response over: this one was silent for too long", slog.String("response_id", r.ID))
		s.stop(r, errLost)
	}
	return nil
}

func (s *Service) heedRequests(ctx context.Context, shared Shared) error {
	if len(s.running()) == 0 {
		return nil
	}
	asked, err := shared.CancelRequests(ctx)
	for _, r := range asked {
		s.stop(r, errCancelled)
	}
	return err
}

func (s *Service) stop(r Running, cause error) {
	if run := s.run(r.ID); run != nil && run.owner == r.Owner {
		run.cancel(cause)
	}
}

// recoverOthers ends what other processes have left.
func (s *Service) recoverOthers(ctx context.Context) {
	n, err := s.Recover(ctx)
	if n > 0 {
		s.Log.Warn("responses of a server that has died were interrupted", slog.Int("responses", n))
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("what a server that has died has left could not be ended; trying again", slog.Any("error", err))
	}
}

// cancelElsewhere has the process that makes a response stop it, and waits for that.
func (s *Service) cancelElsewhere(ctx context.Context, shared Shared, owner, id string) (Response, error) {
	patience, stop := context.WithTimeout(ctx, cancelPatience)
	defer stop()
	for asked := false; ; asked = true {
		r, err := s.Store.Response(ctx, owner, id)
		if err != nil || r.Status.Terminal() {
			return r, err
		}
		if !asked {
			if err := shared.RequestCancel(ctx, owner, id); err != nil {
				return r, err
			}
		}
		select {
		case <-after(pollPause):
		case <-patience.Done():
			return r, ctx.Err()
		}
	}
}

// takenPatience bounds how long a run waits for the end that another process, which has taken its response over, is to write. That takes a
// moment, unless that process dies, too.
const takenPatience = 2 * time.Minute

// endedElsewhere ends a run whose own end was refused because another process had taken the response over, and reports whether that is so:
// it may also be that an earlier try has succeeded, whose answer was lost. Nothing is told of an end ahead of that which is stored.
func (s *Service) endedElsewhere(ctx context.Context, run *Run, e *Ending) bool {
	if _, ok := s.Store.(Shared); !ok {
		return false
	}
	for deadline := time.Now().Add(takenPatience); ; {
		r, err := s.Store.Response(ctx, e.Response.Owner, e.Response.ID)
		switch {
		case err == nil && r.Status.Terminal():
			if r.Status == e.Response.Status && r.CompletedAt.Equal(e.Response.CompletedAt) {
				return false
			}
			s.lose(run, r, true)
			return true
		case fault.Is(err, CodeResponseNotFound), s.isStopping(), time.Now().After(deadline):
			// Not stored, or deleted since, or still to be ended; then it will be as interrupted.
			r = e.Response
			r.Status, r.Output = Interrupted, nil
			r.Error = responseError(interrupted())
			s.lose(run, r, false)
			return true
		}
		<-after(pollPause)
	}
}

// lose ends a run as another process has ended its response. What its readers are to see next is in the store, if it is there to be read.
func (s *Service) lose(run *Run, final Response, stored bool) {
	if stored && run.log != nil {
		run.handOver(&past{service: s, owner: final.Owner, id: final.ID})
	}
	run.finish(final, final.fault(), []Event{&ResponseEvent{Name: final.Status.event(), Response: final}})
}
