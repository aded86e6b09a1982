package chat

import "testing"

func TestRetriesAreATenthOfAllCallsAndTenAreFree(t *testing.T) {
	b := &retryBudget{}
	granted := 0
	for range 1000 {
		b.called()
		// Every call fails, and wants to be tried again as often as may be.
		for b.take() {
			granted++
			b.called()
		}
	}
	// Retries are calls, too: r = 10 + (1000+r)/10, to the whole number.
	if want := 122; granted != want {
		t.Errorf("%d retries for 1000 calls, want %d", granted, want)
	}
	quiet := &retryBudget{}
	quiet.called()
	for n := range freeRetries {
		if !quiet.take() {
			t.Errorf("retry %d of a quiet server is refused", n+1)
		}
	}
	if quiet.take() {
		t.Error("an eleventh retry is granted")
	}
}
