package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotent-Replayed"
	// retriesHeader is what the official OpenAI SDKs send: 0 with a first request, and how often it was sent before with one that is
	// sent again. They send no key.
	retriesHeader = "X-Stainless-Retry-Count"

	maxKey = 255

	onConflictWait = "wait"
)

// identify finds out by what the request may be known again. A key that is none is added to what is wrong with the request; of
// one that is wrong nothing is known again.
func (x *exchange) identify(r *http.Request) {
	keys, retries := r.Header[keyHeader], r.Header.Get(retriesHeader)
	if keys == nil && retries == "" {
		return
	}
	i := &chat.Idempotency{Route: r.Method + " " + r.URL.Path}
	if keys != nil {
		if message := checkKey(keys); message != "" {
			x.faults = append(x.faults, fault.Field{Location: "header." + keyHeader, Message: message})
		}
		i.Key = keys[0]
	}
	if len(x.faults) > 0 {
		return
	}
	// A count that is none is taken for that of a first request.
	i.Retries, _ = strconv.Atoi(retries)
	i.Fingerprint = fingerprint(r, x.body)
	x.caller.Idempotency = i
}

// checkKey says what is wrong with a key, if anything is.
func checkKey(keys []string) string {
	if len(keys) > 1 {
		return "given more than once"
	}
	key := keys[0]
	if key == "" || len(key) > maxKey {
		return "expected 1 to " + strconv.Itoa(maxKey) + " characters"
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "expected visible ASCII characters"
		}
	}
	return ""
}

// fingerprint is of everything that a request asks for, however it is written. A body that is left out is an empty one.
func fingerprint(r *http.Request, body []byte) chat.Fingerprint {
	text := append([]byte(r.URL.Path), 0)
	text = append(text, r.URL.Query().Encode()...)
	text = append(text, 0)
	if len(body) == 0 {
		body = []byte("{}")
	}
	return sha256.Sum256(appendCanonical(text, body))
}

// replayed reports whether an earlier request has begun what answers this one.
func (x *exchange) replayed() bool {
	return x.caller.Idempotency != nil && x.caller.Idempotency.Replayed
}

// wait returns the response once it has ended.
func (x *exchange) wait(ctx context.Context, run *chat.Run) (chat.Response, error) {
	if x.replayed() {
		return x.caller.Idempotency.WaitAgain(ctx, run)
	}
	return run.Wait(ctx)
}

// events are the run's, from the first one on.
func (x *exchange) events(ctx context.Context, run *chat.Run) (*chat.Subscription, error) {
	if x.replayed() {
		return x.server.Service.EventsAgain(ctx, x.caller, run)
	}
	return run.Reader(), nil
}

// begun is the response as it began or, where it was begun before, as it stands.
func (x *exchange) begun(run *chat.Run) chat.Response {
	if x.replayed() {
		return run.Response()
	}
	return run.Begun()
}

// keyParam documents the key that any POST may have.
func keyParam() *huma.Param {
	least, most := 1, maxKey
	return &huma.Param{
		Name: keyHeader, In: "header",
		Description: "Makes the request one that may be sent again: for 24 hours one with the same key is carried out once, and answered as the first was, with Idempotent-Replayed: true. " +
			"Make a new key for each thing that is to happen.",
		// An example of the parameter itself would be filled in at /docs, so that whatever is tried there twice were a replay.
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[!-~]+$", Examples: []any{"6f1e9a52-4c1b-4a0e-8f57-3f2f1f0c9b7d"}},
	}
}
