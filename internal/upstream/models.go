package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	modelsTimeout = 10 * time.Second
	maxModels     = 8 << 20
)

type modelList struct {
	Data []model `json:"data"`
}

type model struct {
	ID      Word    `json:"id"`
	OwnedBy Word    `json:"owned_by"`
	Created seconds `json:"created"`
	// CreatedAt is Anthropic's.
	CreatedAt Word `json:"created_at"`
	// The context window, as vLLM, OpenRouter, Groq and llama.cpp tell it.
	MaxModelLen   tokens `json:"max_model_len"`
	ContextLength tokens `json:"context_length"`
	ContextWindow tokens `json:"context_window"`
	Meta          meta   `json:"meta"`
}

// meta is what llama.cpp says of a model. Anything else is left out.
type meta struct{ window tokens }

func (m *meta) UnmarshalJSON(b []byte) error {
	var fields struct {
		Window tokens `json:"n_ctx"`
	}
	if json.Unmarshal(b, &fields) == nil {
		m.window = fields.Window
	}
	return nil
}

func (m *model) window() int64 {
	return int64(cmp.Or(m.MaxModelLen, m.Meta.window, m.ContextWindow, m.ContextLength))
}

// seconds is a Unix time. What is no such time is left out.
type seconds time.Time

func (s *seconds) UnmarshalJSON(b []byte) error {
	const most = 1 << 40
	var n float64
	if json.Unmarshal(b, &n) == nil && n > 0 && n < most {
		*s = seconds(time.Unix(int64(n), 0).UTC())
	}
	return nil
}

// Models asks the endpoint what it offers, within ten seconds and 8 MiB.
func (c *Client) Models(ctx context.Context, to *url.URL) ([]llm.Model, error) {
	ctx, stop := context.WithTimeout(ctx, modelsTimeout)
	defer stop()
	x, failure := c.send(ctx, http.MethodGet, to, c.getHead, nil)
	if failure != nil {
		if failure.Fault.Kind == fault.NotFound {
			failure.Fault = fault.Wrap(failure.Fault.Err, fault.Upstream, "upstream_failed", "The model's provider lists no models at its base URL.")
		}
		return nil, failure
	}
	defer x.close()
	x.left = min(x.left, maxModels)
	body, err := io.ReadAll(x)
	if err != nil {
		return nil, x.broken(err, "upstream_failed", "The list of models broke off before its end.")
	}
	listed, ok := parseModels(body)
	if !ok {
		return nil, x.Unusable("the list of models is not JSON of the expected shape", body)
	}
	models := make([]llm.Model, 0, len(listed))
	for _, m := range listed {
		if !nameShape.matches(string(m.ID)) {
			continue
		}
		owner := string(m.OwnedBy)
		if !nameShape.matches(owner) {
			owner = ""
		}
		models = append(models, llm.Model{ID: string(m.ID), OwnedBy: owner, Created: m.created(), ContextWindow: m.window()})
	}
	return models, nil
}

// created is when a model was made, zero where that is not said in one of the known ways.
func (m *model) created() time.Time {
	if t, err := time.Parse(time.RFC3339, string(m.CreatedAt)); err == nil {
		return t.UTC()
	}
	return time.Time(m.Created)
}

// parseModels takes OpenAI's list and the bare array that some servers answer.
func parseModels(body []byte) ([]model, bool) {
	var list modelList
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err := json.Unmarshal(body, &list.Data)
		return list.Data, err == nil
	}
	err := json.Unmarshal(body, &list)
	return list.Data, err == nil && list.Data != nil
}
