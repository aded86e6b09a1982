package chat

import "context"

// Shared is what a Store is, too, that several processes use at one time. Each response has a lease then, which the process that makes it renews; who
// has itself seen it not renewed for a whole term, by its own clock, takes the response over.
//
// Of such a store, Orphans may be called at any time. It returns those that it has taken over, so that what their holder still writes is
// refused (response_ended), and those that it took over before and that have not ended yet.
type Shared interface {
	// Renew says that these responses are still being made by this process, and returns those that are not its own any more.
	Renew(ctx context.Context, running []Running) (lost []Running, err error)
	// RequestCancel asks the process that makes a response to stop it. One that has ended stays as it is.
	RequestCancel(ctx context.Context, owner, id string) error
	// CancelRequests are the responses of this process that it is asked to stop.
	CancelRequests(ctx context.Context) ([]Running, error)
}

// Running names a response that runs.
type Running struct{ Owner, ID string }
