package chat

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/parley-llm/parley/internal/llm"
)

// This file reckons how many tokens a prompt takes. Texts are counted; for what is no text the figures are rough, and
// rather too low than too high: a provider that finds a prompt too long says so, and nothing is left out for nothing.
const (
	// What a message, and a prompt, takes besides its text.
	overheadPerItem   = 4
	overheadPerPrompt = 3
	// tokensPerImage is about what a picture of 1,000 by 1,000 points takes.
	tokensPerImage = 1000
	// bytesPerFileToken: a file travels as base64, of which about so many bytes become one token.
	bytesPerFileToken = 100
)

// fixedTokens counts what goes with every prompt: the instructions, the tools, the form of the answer.
func (s *Service) fixedTokens(req *llm.Request, most int64) int64 {
	n := int64(overheadPerPrompt)
	if req.Instructions != "" {
		n += overheadPerItem + s.CountTokens(req.Instructions, most)
	}
	for _, raw := range []json.RawMessage{req.Tools, req.ToolChoice, req.Params.ResponseFormat} {
		if len(raw) > 0 && n <= most {
			n += s.CountTokens(string(raw), most-n)
		}
	}
	return n
}

// itemTokens counts an item as it is sent. A model's reasoning is seldom sent back, and what it takes then only the provider knows.
func (s *Service) itemTokens(it *llm.Item, most int64) int64 {
	if it.Type == llm.TypeReasoning {
		return 0
	}
	return overheadPerItem + s.contentTokens(it, most)
}

// contentTokens counts what is in an item, and remembers it: a conversation near its limit is counted at every turn.
// Like CountTokens it may stop when there are more than most.
func (s *Service) contentTokens(it *llm.Item, most int64) int64 {
	raw := it.Content
	if it.Type != llm.TypeMessage {
		raw = it.Data
	}
	key := tokenKey(raw)
	if n, ok := s.counted.get(key); ok {
		return n
	}
	n := s.rawTokens(it.Type, raw, most)
	if n <= most {
		s.counted.put(key, n)
	}
	return n
}

func (s *Service) rawTokens(itemType string, raw json.RawMessage, most int64) int64 {
	switch itemType {
	case llm.TypeMessage:
		return s.partsTokens(raw, most)
	case llm.TypeFunctionCall:
		var call struct{ Name, Arguments string }
		if json.Unmarshal(raw, &call) == nil {
			return s.CountTokens(call.Name+" "+call.Arguments, most)
		}
	case llm.TypeFunctionCallOutput:
		var output struct{ Output json.RawMessage }
		if json.Unmarshal(raw, &output) == nil {
			return s.partsTokens(output.Output, most)
		}
	}
	return s.CountTokens(string(raw), most)
}

// partsTokens counts a message's content, a text or parts.
func (s *Service) partsTokens(content json.RawMessage, most int64) int64 {
	if len(content) == 0 {
		return 0
	}
	if content[0] == '"' {
		return s.CountTokens(unquote(content), most)
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		return s.CountTokens(string(content), most)
	}
	var n int64
	for _, raw := range parts {
		var part struct {
			Type    string
			Text    *string
			Refusal *string
		}
		_ = json.Unmarshal(raw, &part) // a part that is no object has no text
		switch {
		case n > most:
			return n
		case part.Text != nil:
			n += s.CountTokens(*part.Text, most-n)
		case part.Refusal != nil:
			n += s.CountTokens(*part.Refusal, most-n)
		case strings.Contains(part.Type, "image"):
			n += tokensPerImage
		default:
			n += int64(len(raw)) / bytesPerFileToken
		}
	}
	return n
}

// reasoningText is the text in a reasoning step.
func reasoningText(data json.RawMessage) string {
	var step struct {
		Summary []struct{ Text string }
		Content []struct{ Text string }
	}
	_ = json.Unmarshal(data, &step) // one without text counts as none
	var texts []string
	for _, list := range [][]struct{ Text string }{step.Summary, step.Content} {
		for _, part := range list {
			texts = append(texts, part.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// mostTokens is more than an item can take, without counting: no token is shorter than a byte, and JSON is never shorter
// than what it says.
func mostTokens(it *llm.Item) int64 {
	if it.Type == llm.TypeReasoning {
		return 0
	}
	n := overheadPerItem + int64(len(it.Content)) + int64(len(it.Data))
	if len(it.Content) > 0 && it.Content[0] == '[' || len(it.Data) > 0 {
		n += tokensPerImage * int64(bytes.Count(it.Content, []byte("image"))+bytes.Count(it.Data, []byte("image")))
	}
	return n
}

// maxCounted bounds a generation of remembered counts; there are two, of 32 bytes each count.
const maxCounted = 32 << 10

var tokenSeed = maphash.MakeSeed()

// counts remembers how many tokens contents have. What was not asked for lately is forgotten. The zero value is ready.
type counts struct {
	mu           sync.Mutex
	young, older map[contentKey]int64
}

// contentKey stands for a content. That two have the same is less likely than a fault of the machine.
type contentKey struct {
	hash uint64
	size int
}

func tokenKey(content []byte) contentKey {
	return contentKey{maphash.Bytes(tokenSeed, content), len(content)}
}

func (c *counts) get(key contentKey) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.young[key]; ok {
		return n, true
	}
	n, ok := c.older[key]
	if ok {
		c.store(key, n)
	}
	return n, ok
}

func (c *counts) put(key contentKey, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(key, n)
}

func (c *counts) store(key contentKey, n int64) {
	if c.young == nil {
		c.young = map[contentKey]int64{}
	}
	if len(c.young) >= maxCounted {
		c.older, c.young = c.young, map[contentKey]int64{}
	}
	c.young[key] = n
}
