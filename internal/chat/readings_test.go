package chat

import (
	"fmt"
	"testing"
	"time"
)

func TestTheAnswersThatAreWatchedAreBounded(t *testing.T) {
	var r readings
	now := time.Now()
	key := func(i int) readingKey { return readingKey{owner: fmt.Sprint(i / 2)} }
	const extra = 10
	all := make([]*reading, maxReadings+extra)
	for i := range all {
		all[i] = r.begin(key(i), fmt.Sprint(i), now)
		r.leave(all[i])
	}
	if r.order.Len() != maxReadings || len(r.byKey) != maxReadings/2 {
		t.Errorf("%d are watched, by %d keys", r.order.Len(), len(r.byKey))
	}
	for i := range extra {
		if e := r.take(key(i), now); e != nil {
			t.Errorf("%d is still watched", i)
		}
		// That its reader ends later is no harm.
		r.leave(all[i])
		r.end(all[i])
	}
	for i := extra; i < len(all); i++ {
		if e := r.take(key(i), now); e != all[i] {
			t.Fatalf("%d: got %+v", i, e)
		}
		r.end(all[i])
	}
	if r.order.Len() != 0 || len(r.byKey) != 0 {
		t.Errorf("%d are left, by %d keys", r.order.Len(), len(r.byKey))
	}
}
