package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// session speaks Parley's native API and writes down what was said.
type session struct {
	base string
	out  io.Writer
}

type response struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	Model        string `json:"model"`
	OutputText   string `json:"output_text"`
	FinishReason string `json:"finish_reason"`
	Usage        struct {
		InputTokens  int `json:"input_tokens"`
		OutputTokens int `json:"output_tokens"`
	} `json:"usage"`
	Truncated *struct {
		Messages int `json:"messages"`
	} `json:"truncated"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// problem is an answer that is no success.
type problem struct {
	Status     int    `json:"status"`
	Code       string `json:"code"`
	ResponseID string `json:"response_id"`
	Detail     string `json:"detail"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type record struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	ResponseID string `json:"response_id"`
	Attempt    int    `json:"attempt"`
	Status     string `json:"status"`
	ErrorCode  string `json:"error_code"`
	Model      string `json:"model"`
	Payloads   []struct {
		Part string `json:"part"`
		Text string `json:"text"`
	} `json:"payloads"`
}

func (s *session) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	failed := &problem{Status: answer.StatusCode}
	if err := json.NewDecoder(answer.Body).Decode(failed); err != nil {
		return nil, fmt.Errorf("status %d without a problem: %w", answer.StatusCode, err)
	}
	return nil, failed
}

func (s *session) call(ctx context.Context, method, path string, body, into any) error {
	answer, err := s.send(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	return json.NewDecoder(answer.Body).Decode(into)
}

// converse begins a conversation whose model answers the same way every time.
func (s *session) converse(ctx context.Context) (string, error) {
	var conversation struct {
		ID string `json:"id"`
	}
	err := s.call(ctx, http.MethodPost, "/api/conversations", map[string]any{
		"params": map[string]any{"temperature": 0, "max_output_tokens": 80},
	}, &conversation)
	return conversation.ID, err
}

// ask sends a prompt and returns the model's reply, which must have come to its end.
func (s *session) ask(ctx context.Context, conversation, prompt string, stream bool) (response, error) {
	fmt.Fprintf(s.out, "  user:  %s\n", abridged(prompt))
	var r response
	var err error
	path := "/api/conversations/" + conversation + "/responses"
	if stream {
		r, err = s.stream(ctx, path, prompt)
	} else {
		err = s.call(ctx, http.MethodPost, path, map[string]any{"prompt": prompt}, &r)
	}
	if err != nil {
		fmt.Fprintf(s.out, "  error: %v\n", err)
		return r, err
	}
	fmt.Fprintf(s.out, "  model: %s\n         [%s, %s, %s, %d + %d tokens]\n", strings.ReplaceAll(r.OutputText, "\n", "\n         "),
		r.Model, r.Status, r.FinishReason, r.Usage.InputTokens, r.Usage.OutputTokens)
	if r.Status != "completed" && r.Status != "incomplete" {
		return r, fmt.Errorf("the response is %s", r.Status)
	}
	if r.Usage.InputTokens == 0 || r.Usage.OutputTokens == 0 {
		return r, errors.New("the response has no usage")
	}
	return r, nil
}

type event struct {
	Type           string   `json:"type"`
	SequenceNumber int      `json:"sequence_number"`
	Delta          string   `json:"delta"`
	Response       response `json:"response"`
}

// stream reads a streamed reply: numbers without a gap, deltas that add up to the text, one closing event.
func (s *session) stream(ctx context.Context, path, prompt string) (response, error) {
	answer, err := s.send(ctx, http.MethodPost, path, map[string]any{"prompt": prompt, "stream": true})
	if err != nil {
		return response{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	var text strings.Builder
	var last response
	next, deltas, closing := 0, 0, ""
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return last, err
		}
		if closing != "" || e.SequenceNumber != next {
			return last, fmt.Errorf("event %d %s where %d was due (closing event %q)", e.SequenceNumber, e.Type, next, closing)
		}
		next++
		switch e.Type {
		case "response.output_text.delta":
			deltas++
			text.WriteString(e.Delta)
		case "response.completed", "response.incomplete", "response.failed":
			closing, last = e.Type, e.Response
		}
	}
	if err := lines.Err(); err != nil {
		return last, err
	}
	switch {
	case closing == "":
		return last, errors.New("the stream has no closing event")
	case closing == "response.failed" && last.Error != nil:
		return last, &problem{Status: answer.StatusCode, Code: last.Error.Code, ResponseID: last.ID, Detail: "the stream says so"}
	case deltas < 2:
		return last, fmt.Errorf("only %d deltas: that was no stream", deltas)
	case text.String() != last.OutputText:
		return last, fmt.Errorf("the deltas add up to %q, the response says %q", text.String(), last.OutputText)
	}
	return last, nil
}

func (s *session) messages(ctx context.Context, conversation string) ([]message, error) {
	var list struct {
		Data []message `json:"data"`
	}
	err := s.call(ctx, http.MethodGet, "/api/conversations/"+conversation+"/messages?limit=100", nil, &list)
	return list.Data, err
}

// records returns the audit records of a conversation with their texts.
func (s *session) records(ctx context.Context, conversation string) ([]record, error) {
	var list struct {
		Data    []record `json:"data"`
		HasMore bool     `json:"has_more"`
	}
	if err := s.call(ctx, http.MethodGet, "/api/audit/records?limit=100&conversation_id="+url.QueryEscape(conversation), nil, &list); err != nil {
		return nil, err
	}
	if list.HasMore {
		return nil, errors.New("more audit records than a page holds")
	}
	for i := range list.Data {
		if err := s.call(ctx, http.MethodGet, "/api/audit/records/"+list.Data[i].ID, nil, &list.Data[i]); err != nil {
			return nil, err
		}
	}
	return list.Data, nil
}

func abridged(text string) string {
	if len(text) <= 120 {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes)", text[:100], len(text))
}
