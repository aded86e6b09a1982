package chat

import "sync"

const (
	// freeRetries of a process are not counted against the budget, so that a quiet server may retry too.
	freeRetries = 10
	// callsPerRetry keeps retries within a tenth of the calls: a provider in trouble is not made worse.
	callsPerRetry = 10
)

// retryBudget bounds retries to a share of all calls.
type retryBudget struct {
	mu      sync.Mutex
	calls   int
	retries int
}

func (b *retryBudget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
}

// take reports whether one more retry is within the budget and counts it.
func (b *retryBudget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retries >= freeRetries+b.calls/callsPerRetry {
		return false
	}
	b.retries++
	return true
}
