package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

type completion struct {
	Model   string `json:"model"`
	Choices []struct {
		Message      struct{ Content string } `json:"message"`
		Delta        struct{ Content string } `json:"delta"`
		FinishReason string                   `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		TotalTokens int `json:"total_tokens"`
	} `json:"usage"`
}

// ask sends a completion request and returns the content type and the body of the answer.
func ask(t *testing.T, address, body string) (kind, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header.Get("Content-Type"), string(text)
}

func TestWholeAnswerIsAValidCompletionOf593Bytes(t *testing.T) {
	server := httptest.NewServer(newMock().handler())
	defer server.Close()
	_, body := ask(t, server.URL, chatBody(mockModel, false))
	if len(body) != 593 {
		t.Errorf("the answer has %d bytes", len(body))
	}
	var answer completion
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Choices[0].FinishReason != "stop" || answer.Choices[0].Message.Content == "" || answer.Usage.TotalTokens != 45 {
		t.Errorf("not a finished completion: %s", body)
	}
}

func TestStreamHas24EventsAndDone(t *testing.T) {
	server := httptest.NewServer(newMock().handler())
	defer server.Close()
	kind, body := ask(t, server.URL, chatBody(mockModel, true))
	if kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	var text strings.Builder
	var finish string
	events, usage, done := 0, 0, false
	for line := range strings.Lines(body) {
		data, found := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		switch {
		case !found:
			continue
		case data == "[DONE]":
			done = true
			continue
		}
		events++
		var chunk completion
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		for _, choice := range chunk.Choices {
			text.WriteString(choice.Delta.Content)
			finish += choice.FinishReason
		}
		usage += chunk.Usage.TotalTokens
	}
	if events != 24 || !done {
		t.Errorf("%d events, done %t", events, done)
	}
	if finish != "stop" || usage != 45 || !strings.HasPrefix(text.String(), " The tide rises") {
		t.Errorf("finish %q, usage %d, text %q", finish, usage, text.String())
	}
}

func TestMockListsItsModel(t *testing.T) {
	recorder := httptest.NewRecorder()
	newMock().handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models", nil))
	var list struct {
		Data []struct{ ID string }
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &list); err != nil || len(list.Data) != 1 || list.Data[0].ID != mockModel {
		t.Errorf("models: %s (%v)", recorder.Body, err)
	}
}

func TestHeldStreamStaysOpenUntilTheClientLeaves(t *testing.T) {
	left := make(chan struct{})
	handler := newMock().handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		close(left)
	}))
	defer server.Close()
	c := dialTest(t, server.URL)
	if err := c.open(post("/v1/chat/completions", chatBody(holdModel, true)), chatDialect); err != nil {
		t.Fatal(err)
	}
	select {
	case <-left:
		t.Fatal("the stream ended by itself")
	default:
	}
	c.close()
	<-left
}

func TestProxyPassesWholeAnswersAndStreamsOnUnchanged(t *testing.T) {
	upstream := httptest.NewServer(newMock().handler())
	defer upstream.Close()
	address, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(newProxy(address))
	defer proxy.Close()
	for _, stream := range []bool{false, true} {
		_, direct := ask(t, upstream.URL, chatBody(mockModel, stream))
		for range 3 { // the later ones get buffers that were used before
			if _, passed := ask(t, proxy.URL, chatBody(mockModel, stream)); direct != passed {
				t.Errorf("stream %t: the proxy answered %q", stream, passed)
			}
		}
	}
}

func TestChildStopsWhenItsInputCloses(t *testing.T) {
	in, hold := io.Pipe()
	out, printed := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runMock(context.Background(), in, printed) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "127.0.0.1:") {
		t.Fatalf("address %q: %v", line, err)
	}
	_ = hold.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
