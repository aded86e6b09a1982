package chat

import (
	"context"
	"time"
)

// cancelPatience is how long Cancel waits for the response to end.
const cancelPatience = 5 * time.Second

// Cancel stops a running response, whoever began it; what has come of it is kept. It returns the response in its terminal state, or, where
// it takes long to store that, as it stands. One that has ended stays as it is.
func (s *Service) Cancel(ctx context.Context, owner, id string) (Response, error) {
	run := s.run(id)
	if run == nil || run.owner != owner {
		if shared, ok := s.Store.(Shared); ok {
			return s.cancelElsewhere(ctx, shared, owner, id)
		}
		return s.Store.Response(ctx, owner, id)
	}
	run.cancel(errCancelled)
	patience, stop := context.WithTimeout(ctx, cancelPatience)
	defer stop()
	r, _ := run.Wait(patience)
	return r, ctx.Err()
}
