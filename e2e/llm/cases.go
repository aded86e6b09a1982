package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	tell   = "The secret word is banana."
	filler = "Tell me one fact about cats."
	recall = "What is the secret word?"
	word   = "banana"
)

// banana tells the model a word and asks for it two turns later: only a model that was sent the first turn can know it.
func banana(ctx context.Context, s *session, stream bool) error {
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	var last response
	for _, prompt := range []string{tell, filler, recall} {
		if last, err = s.ask(ctx, conversation, prompt, stream); err != nil {
			return err
		}
	}
	if !says(last, word) {
		return errors.New("the model does not know the word: the first turn did not reach it")
	}
	stored, err := s.messages(ctx, conversation)
	if err != nil {
		return err
	}
	if len(stored) != 6 {
		return fmt.Errorf("%d messages are stored, not 6", len(stored))
	}
	for i, one := range stored {
		if want := []string{"user", "assistant"}[i%2]; one.Role != want {
			return fmt.Errorf("message %d is of the %s", i+1, one.Role)
		}
	}
	return audited(ctx, s, conversation, 3, "")
}

func control(ctx context.Context, s *session) error {
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	for _, prompt := range []string{filler, recall} {
		reply, err := s.ask(ctx, conversation, prompt, false)
		if err != nil {
			return err
		}
		if says(reply, word) {
			return errors.New("the model says the word without having been told: the other cases prove nothing")
		}
	}
	return audited(ctx, s, conversation, 2, "")
}

// overflow sends more than the model can hold, whole and streamed; the failed turns must leave the conversation usable.
func overflow(ctx context.Context, s *session) error {
	const code = "context_length_exceeded"
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	long := strings.Repeat("The sea rises and the sea falls. ", 500)
	_, err = s.ask(ctx, conversation, long, false)
	if err := refused(ctx, s, err, http.StatusUnprocessableEntity, code); err != nil {
		return err
	}
	// The server's refusal has told how much the model holds: what is too long is refused before anything begins now.
	_, err = s.ask(ctx, conversation, long, true)
	var early *problem
	if !errors.As(err, &early) || early.Status != http.StatusUnprocessableEntity || early.Code != code || early.ResponseID != "" {
		return fmt.Errorf("the second long prompt: %w", errors.Join(err, errors.New("it was to be refused before it began")))
	}
	reply, err := s.ask(ctx, conversation, "What is 2 plus 2?", false)
	if err != nil {
		return err
	}
	if !says(reply, "4") {
		return errors.New("no usable reply after the refused prompts")
	}
	return audited(ctx, s, conversation, 2, code)
}

// outgrow has a conversation grow past what the model holds: it goes on without its oldest turns, and says so.
func outgrow(ctx context.Context, s *session) error {
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	for range 12 {
		for _, role := range []string{"user", "assistant"} {
			body := map[string]any{"role": role, "content": strings.Repeat("The sea rises and the sea falls. ", 25)}
			if err := s.call(ctx, http.MethodPost, "/api/conversations/"+conversation+"/messages", body, &struct{}{}); err != nil {
				return err
			}
		}
	}
	for _, stream := range []bool{false, true} {
		reply, err := s.ask(ctx, conversation, "What is 2 plus 2?", stream)
		if err != nil {
			return err
		}
		if reply.Truncated == nil || reply.Truncated.Messages == 0 {
			return errors.New("the response does not say that anything was left out")
		}
		fmt.Fprintf(s.out, "  left out: %d messages\n", reply.Truncated.Messages)
	}
	return nil
}

func wrongKey(ctx context.Context, s *session) error {
	const code = "upstream_auth"
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	_, err = s.ask(ctx, conversation, tell, false)
	if err := refused(ctx, s, err, http.StatusBadGateway, code); err != nil {
		return err
	}
	return audited(ctx, s, conversation, 1, code)
}

// masked sends personal data: the conversation keeps it byte for byte, the audit log must not hold it.
func masked(ctx context.Context, s *session) error {
	private := []string{"jane.doe@example.com", "+65 9123 4567", "S1234567D", "4111 1111 1111 1111"}
	conversation, err := s.converse(ctx)
	if err != nil {
		return err
	}
	prompt := "Say hello to Jane. Her e-mail is " + private[0] + ", her phone " + private[1] + ", her NRIC " + private[2] + " and her card " + private[3] + "."
	if _, err := s.ask(ctx, conversation, prompt, false); err != nil {
		return err
	}
	stored, err := s.messages(ctx, conversation)
	if err != nil {
		return err
	}
	if len(stored) == 0 || !strings.Contains(string(stored[0].Content), prompt) {
		return errors.New("the question is not stored as it was sent")
	}
	records, err := s.records(ctx, conversation)
	if err != nil {
		return err
	}
	tags := 0
	for _, r := range records {
		for _, payload := range r.Payloads {
			tags += strings.Count(payload.Text, "[MASKED_")
			for _, value := range private {
				if strings.Contains(payload.Text, value) {
					return fmt.Errorf("record %s holds what should be masked in its %s", r.ID, payload.Part)
				}
			}
			if payload.Text != "" {
				fmt.Fprintf(s.out, "  audit: %s %s: %s\n", r.Kind, payload.Part, abridged(payload.Text))
			}
		}
	}
	if tags < len(private) {
		return fmt.Errorf("%d masked values in the audit records, %d were sent", tags, len(private))
	}
	return audited(ctx, s, conversation, 1, "")
}

// refused checks a failure: its status, its code, the response that says the same, and nothing of the provider's text.
func refused(ctx context.Context, s *session, err error, status int, code string) error {
	var failed *problem
	if !errors.As(err, &failed) {
		return fmt.Errorf("no %s: %w", code, errors.Join(err, errors.New("the call was to fail")))
	}
	if failed.Status != status || failed.Code != code || failed.ResponseID == "" {
		return fmt.Errorf("status %d, code %q, response %q; due were %d and %q", failed.Status, failed.Code, failed.ResponseID, status, code)
	}
	for _, text := range []string{"available context size", "Invalid API Key", key} {
		if strings.Contains(failed.Detail, text) {
			return fmt.Errorf("the provider's text came through: %s", failed.Detail)
		}
	}
	var r response
	if err := s.call(ctx, http.MethodGet, "/api/responses/"+failed.ResponseID, nil, &r); err != nil {
		return err
	}
	if r.Status != "failed" || r.Error == nil || r.Error.Code != code {
		return fmt.Errorf("the response is %s, its error %+v", r.Status, r.Error)
	}
	return nil
}

// audited checks that every attempt of every response has one intent and one outcome; a code, if given, that failed ones say it.
func audited(ctx context.Context, s *session, conversation string, responses int, code string) error {
	records, err := s.records(ctx, conversation)
	if err != nil {
		return err
	}
	type attempt struct {
		response string
		number   int
	}
	intents, outcomes, seen := map[attempt]int{}, map[attempt]int{}, map[string]bool{}
	coded := 0
	for _, r := range records {
		at := attempt{r.ResponseID, r.Attempt}
		switch r.Kind {
		case "llm.intent":
			intents[at]++
		case "llm.outcome":
			outcomes[at]++
			if r.ErrorCode != "" {
				coded++
				if r.ErrorCode != code {
					return fmt.Errorf("an outcome says %q, not %q", r.ErrorCode, code)
				}
			}
		default:
			continue
		}
		seen[r.ResponseID] = true
	}
	for at, n := range intents {
		if n != 1 || outcomes[at] != 1 {
			return fmt.Errorf("attempt %d of %s has %d intents and %d outcomes", at.number, at.response, n, outcomes[at])
		}
	}
	if len(seen) != responses || len(intents) != len(outcomes) {
		return fmt.Errorf("%d responses are audited, not %d; %d intents, %d outcomes", len(seen), responses, len(intents), len(outcomes))
	}
	if code != "" && coded == 0 {
		return fmt.Errorf("no outcome says %q", code)
	}
	fmt.Fprintf(s.out, "  audit: %d attempts, each with one intent and one outcome\n", len(intents))
	return nil
}

func says(r response, word string) bool {
	return strings.Contains(strings.ToLower(r.OutputText), word)
}
