package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const story = "Write a long story about the sea."

// longer lets an answer be as long as the model's context allows.
var longer = map[string]any{"max_output_tokens": 1500}

// events reads a stream of events until one is the last that the caller wants.
func events(body io.Reader, last func(event) bool) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return err
		}
		if last(e) {
			return nil
		}
	}
	return errors.Join(lines.Err(), errors.New("the stream ended"))
}

func closes(e event) bool {
	return e.Type == "response.completed" || e.Type == "response.incomplete" || e.Type == "response.failed"
}

// resume breaks a stream off after a few words, twice, and reads on: no word is missing and none comes twice.
func resume(ctx context.Context, s *session) error {
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	answer, err := s.send(ctx, http.MethodPost, "/api/conversations/"+conversation+"/responses", map[string]any{"prompt": story, "stream": true})
	if err != nil {
		return err
	}
	var text strings.Builder
	var id string
	var final response
	number, deltas := -1, 0
	read := func(body io.ReadCloser, most int) error {
		defer func() { _ = body.Close() }()
		gap := error(nil)
		err := events(body, func(e event) bool {
			if e.SequenceNumber != number+1 {
				gap = fmt.Errorf("event %d came behind %d", e.SequenceNumber, number)
			}
			number = e.SequenceNumber
			if e.Type == "response.created" {
				id = e.Response.ID
			}
			if e.Type == "response.output_text.delta" {
				deltas++
				text.WriteString(e.Delta)
			}
			if closes(e) {
				final = e.Response
			}
			return gap != nil || closes(e) || deltas == most
		})
		return errors.Join(err, gap)
	}
	for _, most := range []int{5, 20, -1} {
		if err := read(answer.Body, most); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "  broken off behind event %d\n", number)
		if final.ID != "" {
			break
		}
		if answer, err = s.send(ctx, http.MethodGet, fmt.Sprintf("/api/responses/%s/events?after=%d", id, number), nil); err != nil {
			return err
		}
	}
	if text.String() == "" || text.String() != final.OutputText {
		return fmt.Errorf("the pieces add up to %q, the response says %q", text.String(), final.OutputText)
	}
	fmt.Fprintf(s.out, "  model: %s\n", abridged(final.OutputText))
	return audited(ctx, s, conversation, 1, "")
}

// cancelled stops an answer amid a sentence: the model's slot is free again, long before the answer would have ended.
func cancelled(ctx context.Context, s *session, model string) error {
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	var begun, ended response
	if err := s.call(ctx, http.MethodPost, "/api/conversations/"+conversation+"/responses", map[string]any{"prompt": story, "background": true, "params": longer}, &begun); err != nil {
		return err
	}
	answer, err := s.send(ctx, http.MethodGet, "/api/responses/"+begun.ID+"/events", nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if err := events(answer.Body, func(e event) bool { return e.Type == "response.output_text.delta" || closes(e) }); err != nil {
		return err
	}
	busy, err := busySlots(ctx, model)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "  while it writes %d slot is busy\n", busy)
	if busy != 1 {
		return fmt.Errorf("%d slots are busy", busy)
	}
	asked := time.Now()
	if err := s.call(ctx, http.MethodPost, "/api/responses/"+begun.ID+"/cancel", nil, &ended); err != nil {
		return err
	}
	answered := time.Since(asked)
	if ended.Status != "cancelled" || ended.OutputText == "" {
		return fmt.Errorf("it ended %s with %q", ended.Status, ended.OutputText)
	}
	for busy > 0 {
		if busy, err = busySlots(ctx, model); err != nil {
			return err
		}
		if time.Since(asked) > 10*time.Second {
			return errors.New("the slot is still busy ten seconds after the cancel")
		}
	}
	fmt.Fprintf(s.out, "  cancelled within %d ms, the slot was free within %d ms\n  kept: %s\n",
		answered.Milliseconds(), time.Since(asked).Milliseconds(), abridged(ended.OutputText))
	reply, err := s.ask(ctx, conversation, "What is 2 plus 2?", false)
	if err != nil {
		return err
	}
	if reply.OutputText == "" {
		return errors.New("the conversation does not go on")
	}
	return audited(ctx, s, conversation, 2, "canceled")
}

// busySlots is how many answers the model server is at.
func busySlots(ctx context.Context, model string) (n int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+model+"/slots", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	var slots []struct {
		Busy bool `json:"is_processing"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&slots); err != nil {
		return 0, fmt.Errorf("reading the slots (%d): %w", answer.StatusCode, err)
	}
	for _, slot := range slots {
		if slot.Busy {
			n++
		}
	}
	return n, nil
}
