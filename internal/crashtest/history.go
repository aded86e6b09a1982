// Package crashtest is what the tests of crashes, power cuts and full disks share: clients that load a server and note what it
// acknowledges (Load), a model that notes what reaches it (Upstream), the file that both write to (History), and what must
// hold afterwards (Check).
//
// It makes no faults: that is for the tests that use it.
package crashtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// State is what is known of a request.
type State string

// A request is sent, and then it is acknowledged (a 2xx status, or in a stream the terminal event) or refused (4xx), or nobody
// knows whether it took effect (5xx). One of which only Sent is noted got no answer. Created says that the
// question of a stream or of a background response is stored; Asked, that a call has reached the model.
const (
	Sent         State = "sent"
	Created      State = "created"
	Acknowledged State = "acknowledged"
	Refused      State = "refused"
	Unknown      State = "unknown"
	Asked        State = "asked"
)

// Op is what a request is for.
type Op string

// The operations of the load.
const (
	OpCreate             Op = "create"
	OpAppend             Op = "append"
	OpEdit               Op = "edit"
	OpDelete             Op = "delete"
	OpDeleteConversation Op = "delete_conversation"
	OpFork               Op = "fork"
	OpRead               Op = "read"
	OpPrompt             Op = "prompt"
	OpStream             Op = "stream"
	OpBackground         Op = "background"
	OpCancel             Op = "cancel"
	OpCall               Op = "call"
)

// Message is a message as a client has sent or seen it.
type Message struct {
	ID       string `json:"id,omitempty"`
	Seq      int64  `json:"seq,omitempty"`
	Text     string `json:"text"`
	Response string `json:"response,omitempty"`
}

// Entry is one line of a history. A later entry of a call holds only what is new.
type Entry struct {
	// Call ties together what is noted of one request. Calls begin at 1.
	Call   int64     `json:"call"`
	Time   time.Time `json:"time"`
	Client int       `json:"client"`
	Op     Op        `json:"op"`
	State  State     `json:"state"`
	Code   string    `json:"code,omitempty"`
	// Conversation is the one that is meant or, once a create or a fork is acknowledged, the new one. Source is what was forked.
	Conversation string `json:"conversation,omitempty"`
	Source       string `json:"source,omitempty"`
	// Messages are what is sent, or what was stored or read. With a fork they are what it is to hold.
	Messages []Message `json:"messages,omitempty"`
	Response string    `json:"response,omitempty"`
	// Status is the response's.
	Status string `json:"status,omitempty"`
	// Failure is the code of the response's error.
	Failure string `json:"failure,omitempty"`
	// Output holds the messages of an answer.
	Output []Message `json:"output,omitempty"`
}

// History is a file of entries, one JSON object to a line, in the order of their times. It is safe for concurrent use.
type History struct {
	mu   sync.Mutex
	w    io.Writer
	call int64
	err  error
}

// NewHistory writes to w.
func NewHistory(w io.Writer) *History { return &History{w: w} }

// Note sets the entry's time, and its call if it has none, and writes it.
func (h *History) Note(e Entry) (call int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Call == 0 {
		h.call++
		e.Call = h.call
	}
	e.Time = time.Now()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = h.w.Write(append(line, '\n'))
	}
	h.err = errors.Join(h.err, err)
	return e.Call
}

// calls is how many calls were noted.
func (h *History) calls() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.call
}

// Err is why something could not be written.
func (h *History) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// ReadHistory reads a file that a History has written, or is writing: a line that is not whole yet is left out.
func ReadHistory(path string) ([]Entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for line := range bytes.Lines(data[:bytes.LastIndexByte(data, '\n')+1]) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d of the history: %w", len(list)+1, err)
		}
		list = append(list, e)
	}
	return list, nil
}
