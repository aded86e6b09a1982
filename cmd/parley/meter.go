package main

import (
	"fmt"
	"io"
	"time"
)

const (
	// quiet is how long something runs before it says how far it is.
	quiet = 2 * time.Second
	// beat is how often it says so then.
	beat = 200 * time.Millisecond
	// clearLine goes back to the start of a terminal's line and empties it.
	clearLine = "\r\x1b[K"
)

// meter shows on a terminal how far something is that takes longer than two seconds. Elsewhere it shows nothing. It is not
// safe for concurrent use.
type meter struct {
	w   io.Writer
	now func() time.Time
	// what is being done, such as "verified"; unit is what is counted.
	what, unit string

	began, last time.Time
	shown       bool
}

func newMeter(w io.Writer, what, unit string) *meter {
	m := &meter{w: w, now: time.Now, what: what, unit: unit}
	if !isTerminal(w) {
		m.w = nil
	}
	m.began = m.now()
	return m
}

// at says how much is done, of how much; a total of 0 is not known.
func (m *meter) at(done, total int64) {
	now := m.now()
	if m.w == nil || now.Sub(m.began) < quiet || now.Sub(m.last) < beat {
		return
	}
	m.last, m.shown = now, true
	text := fmt.Sprintf("%s %d %s", m.what, done, m.unit)
	if total > 0 {
		const width = 24
		share := min(done*width/total, width)
		bar := make([]byte, width)
		for i := range bar {
			bar[i] = ' '
			if int64(i) < share {
				bar[i] = '#'
			}
		}
		text = fmt.Sprintf("%s [%s] %3d %%", m.what, bar, min(done*100/total, 100))
	}
	_, _ = fmt.Fprintf(m.w, "%s%s, %d s", clearLine, text, int(now.Sub(m.began).Seconds()))
}

// end takes the line away.
func (m *meter) end() {
	if m.shown {
		_, _ = fmt.Fprint(m.w, clearLine)
		m.shown = false
	}
}

// watch runs something of which nobody knows how far it is, and shows that it goes on.
func (m *meter) watch(run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	defer m.end()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if now := m.now(); m.w != nil && now.Sub(m.began) >= quiet {
				m.shown = true
				_, _ = fmt.Fprintf(m.w, "%s%s, %d s", clearLine, m.what, int(now.Sub(m.began).Seconds()))
			}
		}
	}
}
