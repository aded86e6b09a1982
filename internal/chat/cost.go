package chat

import (
	"context"
	"strings"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/llm"
)

// Currency is the one that costs are in.
const Currency = "USD"

// Cost is what responses cost, in millionths of a US dollar.
type Cost struct {
	AmountMicros int64
	// PriceVersion names the list of prices it was reckoned with; in a sum, the newest part's.
	PriceVersion string
	// Estimated: some of the tokens that it is for were not counted by the provider.
	Estimated bool
}

// maxCost bounds a sum of costs.
const maxCost = 1 << 62

// Plus is the sum of two costs, the newer one being o. Nil, an unknown cost, adds nothing.
func (c *Cost) Plus(o *Cost) *Cost {
	if c == nil {
		return o
	}
	if o == nil {
		return c
	}
	return &Cost{
		AmountMicros: min(c.AmountMicros, maxCost-o.AmountMicros) + o.AmountMicros,
		PriceVersion: o.PriceVersion,
		Estimated:    c.Estimated || o.Estimated,
	}
}

// Catalog says what is known of models. It answers at once, from memory, and is safe for concurrent use.
type Catalog interface {
	Model(e llm.Endpoint, model string) llm.ModelInfo
	// Learn takes the context window that a provider has told of in refusing a prompt.
	Learn(e llm.Endpoint, model string, window int64)
	// Ask may ask the provider in the background for its models' windows: a prompt of at most so many tokens is about to go to one.
	Ask(e llm.Endpoint, model string, most int64)
}

// modelInfo is what is known of a model.
func (s *Service) modelInfo(e llm.Endpoint, model string) llm.ModelInfo {
	if s.Catalog == nil {
		return llm.ModelInfo{}
	}
	return s.Catalog.Model(e, model)
}

// sent is what is kept of a prompt while its answer comes: enough to count it afterwards, should the provider not.
type sent struct {
	items        int
	instructions string
	// rest is the size of what else went with it, in bytes.
	rest int
	// kept is what was sent where that cannot be read again as the newest items of the conversation.
	kept []llm.Item
}

// bytesPerToken is about how many bytes of JSON become one token.
const bytesPerToken = 4

// release lets go of what was asked. Nothing is sent again from here on, and an answer may take long.
func (t *turn) release() {
	t.call.Body = nil
	// Its texts are as long as the prompt.
	t.intent = audit.Record{User: t.intent.User}
	if t.prompt != nil {
		r := t.prompt.request
		t.sent = sent{
			items: len(r.Items), instructions: strings.Clone(r.Instructions),
			rest: len(r.Tools) + len(r.ToolChoice) + len(r.Params.ResponseFormat),
		}
		if t.aside || t.again || t.response.Truncated > 0 {
			t.sent.kept = r.Items
		}
		t.prompt = nil
	}
}

// settle says what an attempt used and what that cost. Where an answer came, however much of it, and the provider reported
// no usage, that is estimated; where nothing came, nothing is known to have been used.
func (s *Service) settle(ctx context.Context, t *turn, res *result) {
	if res.finish != nil && res.finish.Usage != nil {
		res.usage = res.finish.Usage
	} else if (res.finish != nil || len(res.output) > 0) && s.CountTokens != nil {
		res.usage = s.estimate(ctx, t, res.output)
		res.estimated = res.usage != nil
	}
	if p := t.info.Prices; p != nil && res.usage != nil {
		res.cost = &Cost{AmountMicros: p.Micros(res.usage), PriceVersion: p.Version, Estimated: res.estimated}
	}
}

// estimate counts what was sent, which it reads again, and what came. It is nil if the conversation is gone.
func (s *Service) estimate(ctx context.Context, t *turn, output []Item) *llm.Usage {
	t.release()
	items, err := s.wasSent(ctx, t)
	if err != nil {
		return nil
	}
	u := &llm.Usage{InputTokens: overheadPerPrompt + int64(t.sent.rest)/bytesPerToken}
	if t.sent.instructions != "" {
		u.InputTokens += overheadPerItem + s.CountTokens(t.sent.instructions, maxTokens)
	}
	for i := range items {
		u.InputTokens += s.itemTokens(&items[i], maxTokens)
	}
	for i := range output {
		it := &output[i].Item
		if it.Type == llm.TypeReasoning {
			n := s.CountTokens(reasoningText(it.Data), maxTokens)
			u.ReasoningTokens += n
			u.OutputTokens += n
			continue
		}
		u.OutputTokens += s.contentTokens(it, maxTokens)
	}
	clamp(u)
	u.TotalTokens = u.InputTokens + u.OutputTokens
	return u
}

// wasSent are the items of a prompt. Nothing is added to the conversation while it runs, so they are the last ones there, but for
// a turn that is run again, whose old output is still there, and one that left some out.
func (s *Service) wasSent(ctx context.Context, t *turn) ([]llm.Item, error) {
	if t.sent.kept != nil {
		return t.sent.kept, nil
	}
	_, stored, err := s.Store.Context(context.WithoutCancel(ctx), t.response.Owner, t.response.ConversationID, t.sent.items)
	if err != nil {
		return nil, err
	}
	return promptItems(stored[max(len(stored)-t.sent.items, 0):], nil), nil
}
