package chat

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// ClaimLife is how long an idempotency key stands for what was done with it.
const ClaimLife = 24 * time.Hour

// Codes of what an idempotency key may be answered by.
const (
	CodeKeyReused        = "idempotency_key_reused"
	CodeResultGone       = "idempotency_result_gone"
	CodeResultInProgress = "idempotency_in_progress"
)

// Fingerprint tells requests apart by all that they ask for.
type Fingerprint [sha256.Size]byte

// Claim is an idempotency key that has been taken: the same request by the same owner is not carried out again. It is stored in
// the transaction of what it guards, and of that it keeps only the id.
type Claim struct {
	// Route is the method and the path with its ids; a key is one of its owner's and its route's.
	Route       string
	Key         string
	Fingerprint Fingerprint
	ResourceID  string
	CreatedAt   time.Time
}

// Lives reports whether the claim still stands at a time.
func (c *Claim) Lives(at time.Time) bool { return at.Sub(c.CreatedAt) < ClaimLife }

// ClaimedError is what a Store returns for a change whose key another one has: nothing was written.
type ClaimedError struct{ Claim Claim }

// Error implements error.
func (*ClaimedError) Error() string { return "the idempotency key is taken" }

// Idempotency is what tells that a request is sent again: by its key or, where it has none, by the number of retries that the
// official OpenAI SDKs send. It is part of a Caller, and for one request.
type Idempotency struct {
	// Route and Key are those of a Claim; an empty Key is none.
	Route, Key  string
	Fingerprint Fingerprint
	// Retries counts how often the client says it has sent the request before.
	Retries int

	// Replayed is set where the request was carried out before, and what is returned is what came of that.
	Replayed bool

	// reading is where the answer's delivery is watched; see retries.
	reading *reading
}

// claim is what a change is stored with, nil where there is no key.
func (i *Idempotency) claim(resourceID string, now time.Time) *Claim {
	if i == nil || i.Key == "" {
		return nil
	}
	return &Claim{Route: i.Route, Key: i.Key, Fingerprint: i.Fingerprint, ResourceID: resourceID, CreatedAt: now}
}

// claimed returns the id of what an earlier request with the caller's key has made; empty where there is no key or it is free.
func (s *Service) claimed(ctx context.Context, caller Caller) (string, error) {
	i := caller.Idempotency
	if i == nil || i.Key == "" {
		return "", nil
	}
	claim, found, err := s.Store.Claim(ctx, caller.Owner, i.Route, i.Key)
	if err != nil || !found || !claim.Lives(s.now()) {
		return "", err
	}
	return i.replay(&claim)
}

// lost is claimed for a change that has failed with err: it may be that another request with the key was quicker. If it was not, err
// is returned.
func lost(caller Caller, err error) (string, error) {
	if taken, ok := errors.AsType[*ClaimedError](err); ok {
		return caller.Idempotency.replay(&taken.Claim)
	}
	return "", err
}

// replay notes that a claim answers the request, if it is for the same one.
func (i *Idempotency) replay(claim *Claim) (string, error) {
	if claim.Fingerprint != i.Fingerprint {
		return "", fault.New(fault.Invalid, CodeKeyReused, "The Idempotency-Key was sent before with another request. Make a new key for each thing that is to happen.")
	}
	i.Replayed = true
	return claim.ResourceID, nil
}

// once makes something, or returns what an earlier request with the same key has made, as it is now.
func once[T any](ctx context.Context, s *Service, caller Caller, make func() (T, error), read func(id string) (T, error)) (T, error) {
	var none T
	id, err := s.claimed(ctx, caller)
	if err == nil && id == "" {
		var made T
		if made, err = make(); err == nil {
			return made, nil
		}
		id, err = lost(caller, err)
	}
	if err != nil {
		return none, err
	}
	again, err := read(id)
	if err != nil {
		caller.Idempotency.Replayed = false
	}
	return again, gone(err)
}

// gone says of what a key stands for that it does not exist any more.
func gone(err error) error {
	if err != nil && fault.Of(err).Kind == fault.NotFound {
		return fault.Wrap(err, fault.Conflict, CodeResultGone, "What was made with this Idempotency-Key does not exist any more.")
	}
	return err
}

func inProgress() *fault.Error {
	f := fault.New(fault.Conflict, CodeResultInProgress, "The response to the first request with this Idempotency-Key is not finished yet. Send the request again.")
	f.RetryAfter = time.Second
	return f
}
