package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-llm/parley/api"
)

// said is a message that the server has acknowledged.
type said struct {
	id, text string
	client   int
}

// answered is a response that the server has acknowledged: its question, and, with whole, its answer.
type answered struct {
	id, question, answer string
	whole                bool
}

type told struct {
	messages  []said
	responses map[string]answered
}

// history is what the server has promised.
type history struct {
	inFlight atomic.Int64
	caught   int

	mu       sync.Mutex
	told     map[string]*told
	touched  map[string]bool
	sent     map[string]bool
	shared   []string
	created  int
	appended int
	whole    int
	streamed int
	// interrupted responses, as they were found after a restart.
	interrupted map[string]bool
}

func newHistory() *history {
	return &history{told: map[string]*told{}, touched: map[string]bool{}, sent: map[string]bool{}, interrupted: map[string]bool{}}
}

func (h *history) takeTouched() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Sorted(maps.Keys(h.touched))
	clear(h.touched)
	return list
}

func (h *history) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.told))
}

// note changes the history of a conversation.
func (h *history) note(conv string, change func(*told)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told[conv] == nil {
		h.told[conv] = &told{responses: map[string]answered{}}
	}
	change(h.told[conv])
}

// sending notes what is about to be sent: it may be stored without being acknowledged.
func (h *history) sending(conv string, texts ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if conv != "" {
		h.touched[conv] = true
	}
	for _, text := range texts {
		h.sent[text] = true
	}
}

// client does one thing after the other until the server is gone.
type client struct {
	url    string
	h      *history
	random *rand.Rand
	number int
	http   http.Client
	own    []string
}

func newClient(url string, h *history, random *rand.Rand, number int) *client {
	return &client{url: url, h: h, random: random, number: number, http: http.Client{Transport: &http.Transport{}}}
}

// work ends with the first request that gets no whole answer: the server has been killed.
func (c *client) work(t *testing.T) {
	defer c.http.CloseIdleConnections()
	for {
		var err error
		switch conv := c.pick(); c.random.IntN(10) {
		case 0:
			err = c.create(t)
		case 1, 2, 3:
			err = c.appendMessage(t, conv)
		case 4, 5, 6:
			err = c.prompt(t, conv)
		default:
			err = c.stream(t, conv)
		}
		if err != nil {
			return
		}
	}
}

// pick chooses one of the client's own conversations or, now and then, one that all share.
func (c *client) pick() string {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if len(c.h.shared) > 0 && c.random.IntN(5) == 0 {
		return c.h.shared[c.random.IntN(len(c.h.shared))]
	}
	if len(c.own) == 0 {
		return ""
	}
	return c.own[len(c.own)-1]
}

func (c *client) post(t *testing.T, path, body string, read func(*http.Response) error) error {
	c.h.inFlight.Add(1)
	defer c.h.inFlight.Add(-1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var problem api.Problem
	if resp.StatusCode >= http.StatusBadRequest {
		if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
			return err
		}
		if problem.Code != "conversation_locked" {
			t.Errorf("%s: %d %s: %s", path, resp.StatusCode, problem.Code, problem.Detail)
		}
		return nil
	}
	return read(resp)
}

func (c *client) create(t *testing.T) error {
	texts := make([]string, c.random.IntN(4))
	messages := make([]string, len(texts))
	for i := range texts {
		texts[i] = text(c.random)
		messages[i] = `{"role":"user","content":` + quote(texts[i]) + `}`
	}
	c.h.sending("", texts...)
	body := `{"messages":[` + strings.Join(messages, ",") + `]}`
	return c.post(t, "/api/conversations", body, func(resp *http.Response) error {
		var conv api.Conversation
		if err := json.NewDecoder(resp.Body).Decode(&conv); err != nil {
			return err
		}
		c.own = append(c.own, conv.ID)
		c.h.note(conv.ID, func(told *told) {
			for _, text := range texts {
				told.messages = append(told.messages, said{text: text, client: c.number})
			}
			c.h.created++
			c.h.touched[conv.ID] = true
			if len(c.h.shared) < 4 {
				c.h.shared = append(c.h.shared, conv.ID)
			}
		})
		return nil
	})
}

func (c *client) appendMessage(t *testing.T, conv string) error {
	if conv == "" {
		return c.create(t)
	}
	text := text(c.random)
	c.h.sending(conv, text)
	return c.post(t, "/api/conversations/"+conv+"/messages", `{"role":"user","content":`+quote(text)+`}`, func(resp *http.Response) error {
		var message api.Message
		if err := json.NewDecoder(resp.Body).Decode(&message); err != nil {
			return err
		}
		c.h.note(conv, func(told *told) {
			told.messages = append(told.messages, said{message.ID, text, c.number})
			c.h.appended++
		})
		return nil
	})
}

func (c *client) prompt(t *testing.T, conv string) error {
	if conv == "" {
		return c.create(t)
	}
	text := text(c.random)
	c.h.sending(conv, text)
	return c.post(t, "/api/conversations/"+conv+"/responses", `{"prompt":`+quote(text)+`}`, func(resp *http.Response) error {
		var r api.Response
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			return err
		}
		if r.Status != "completed" {
			t.Errorf("a whole answer is %s", r.Status)
		}
		c.h.note(conv, func(told *told) {
			told.asked(c.number, r, text)
			told.answered(r)
			c.h.whole++
		})
		return nil
	})
}

func (c *client) stream(t *testing.T, conv string) error {
	if conv == "" {
		return c.create(t)
	}
	text := text(c.random)
	c.h.sending(conv, text)
	return c.post(t, "/api/conversations/"+conv+"/responses", `{"stream":true,"prompt":`+quote(text)+`}`, func(resp *http.Response) error {
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			var event struct {
				Type     string
				Response api.Response
			}
			// A line that was cut off by the kill is no event.
			if !found || json.Unmarshal(data, &event) != nil {
				continue
			}
			switch event.Type {
			case "response.created":
				c.h.note(conv, func(told *told) { told.asked(c.number, event.Response, text) })
			case "response.completed":
				c.h.note(conv, func(told *told) { told.answered(event.Response); c.h.streamed++ })
				return nil
			case "response.failed", "response.incomplete":
				t.Errorf("a stream ended with %s", event.Type)
			}
		}
		return fmt.Errorf("the stream has no end: %w", lines.Err())
	})
}

// asked notes a question that was acknowledged.
func (o *told) asked(client int, r api.Response, question string) {
	for _, id := range r.Input {
		o.messages = append(o.messages, said{id, question, client})
	}
	o.responses[r.ID] = answered{id: r.ID, question: question}
}

func (o *told) answered(r api.Response) {
	known := o.responses[r.ID]
	known.answer, known.whole = r.OutputText, true
	o.responses[r.ID] = known
}
