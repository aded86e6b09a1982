package server

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// This file turns what the core returns into the native wire form; the types of package api say what that is, and a test
// holds the two together.

func appendConversation(dst []byte, c *chat.Conversation) []byte {
	o := object(dst)
	o.open()
	o.conversation(c)
	o.close()
	return o
}

// appendHit is a conversation in a list.
func appendHit(dst []byte, h *chat.Hit) []byte {
	o := object(dst)
	o.open()
	o.conversation(&h.Conversation)
	if m := h.Match; m != nil {
		o.str("snippet", m.Text)
		o.key("snippet_matches")
		o = append(o, '[')
		for i, r := range m.Matches {
			if i > 0 {
				o = append(o, ',')
			}
			o.open()
			o.int("start", int64(r.Start))
			o.int("end", int64(r.End))
			o.close()
		}
		o = append(o, ']')
		o.strOrNull("snippet_message_id", m.ItemID)
	}
	o.close()
	return o
}

func (o *object) conversation(c *chat.Conversation) {
	o.str("id", c.ID)
	o.str("object", api.ObjectConversation)
	o.strOrNull("title", c.Title)
	o.strOrNull("user", c.User)
	o.strOrNull("model", c.Model)
	o.strOrNull("instructions", c.Instructions)
	o.params("params", &c.Params)
	o.strings("metadata", c.Metadata)
	o.int("message_count", c.MessageCount)
	o.usage("usage", &c.Usage)
	o.cost("cost", c.Cost)
	if f := c.ForkedFrom; f != nil {
		o.key("forked_from")
		o.open()
		o.str("conversation_id", f.ConversationID)
		o.strOrNull("item_id", f.ItemID)
		o.close()
	} else {
		o.null("forked_from")
	}
	o.time("created_at", c.CreatedAt)
	o.time("updated_at", c.UpdatedAt)
	o.int("version", c.Version)
}

func (o *object) params(name string, p *llm.Params) {
	o.key(name)
	o.open()
	o.floatPtrIf("temperature", p.Temperature)
	o.floatPtrIf("top_p", p.TopP)
	o.intPtrIf("max_output_tokens", p.MaxOutputTokens)
	if len(p.Stop) > 0 {
		o.texts("stop", p.Stop)
	}
	o.intPtrIf("seed", p.Seed)
	o.floatPtrIf("presence_penalty", p.PresencePenalty)
	o.floatPtrIf("frequency_penalty", p.FrequencyPenalty)
	if len(p.ResponseFormat) > 0 {
		o.raw("response_format", p.ResponseFormat)
	}
	o.strIf("truncation", p.Truncation)
	o.close()
}

func (o *object) texts(name string, texts []string) {
	o.key(name)
	*o = append(*o, '[')
	for i, t := range texts {
		if i > 0 {
			*o = append(*o, ',')
		}
		*o = rawjson.AppendString(*o, t)
	}
	*o = append(*o, ']')
}

// usage writes a nil as null.
func (o *object) usage(name string, u *llm.Usage) {
	if u == nil {
		o.null(name)
		return
	}
	o.key(name)
	o.open()
	o.int("input_tokens", u.InputTokens)
	o.int("output_tokens", u.OutputTokens)
	o.int("total_tokens", u.TotalTokens)
	o.intIf("cached_tokens", u.CachedTokens)
	o.intIf("reasoning_tokens", u.ReasoningTokens)
	o.close()
}

// cost writes a nil as null.
func (o *object) cost(name string, c *chat.Cost) {
	if c == nil {
		o.null(name)
		return
	}
	o.key(name)
	o.open()
	o.int("amount_micros", c.AmountMicros)
	o.str("currency", chat.Currency)
	o.str("price_version", c.PriceVersion)
	o.bool("estimated", c.Estimated)
	o.close()
}

func appendMessage(dst []byte, it *chat.Item) []byte {
	o := object(dst)
	o.open()
	o.str("id", it.ID)
	o.str("object", api.ObjectMessage)
	o.str("conversation_id", it.ConversationID)
	o.int("seq", it.Seq)
	o.str("role", string(roleOf(it)))
	o.content("content", it)
	o.str("status", string(it.Status))
	o.strOrNull("model", it.Model)
	o.strOrNull("response_id", it.ResponseID)
	o.usage("usage", it.Usage)
	o.strings("metadata", it.Metadata)
	o.time("created_at", it.CreatedAt)
	o.time("edited_at", it.EditedAt)
	o.int("version", it.Version)
	o.close()
	return o
}

// roleOf is who speaks in an item that shows as a message.
func roleOf(it *chat.Item) llm.Role {
	switch {
	case it.Type == llm.TypeMessage:
		return it.Role
	case strings.HasSuffix(it.Type, "_output"):
		return llm.Tool
	default:
		return llm.Assistant
	}
}

func (o *object) content(name string, it *chat.Item) {
	o.key(name)
	if it.Type != llm.TypeMessage {
		*o = append(*o, '[')
		*o = append(*o, it.Data...)
		*o = append(*o, ']')
		return
	}
	*o = append(*o, shownContent(it.Content)...)
}

// shownContent shows a single text part as its text: other dialects keep plain text as a part.
func shownContent(content json.RawMessage) json.RawMessage {
	if len(content) == 0 {
		return json.RawMessage(`""`)
	}
	if content[0] != '[' || !bytes.Contains(content, []byte(`"text"`)) {
		return content
	}
	parts := contentParts(content)
	if len(parts) != 1 {
		return content
	}
	p := &parts[0]
	if p.keys == 2 && isString(p.Text) && (p.Type == "text" || p.Type == "input_text" || p.Type == "output_text") {
		return p.Text
	}
	return content
}

func appendResponse(dst []byte, r *chat.Response) []byte {
	o := object(dst)
	o.open()
	o.str("id", r.ID)
	o.str("object", api.ObjectResponse)
	o.str("conversation_id", r.ConversationID)
	o.str("status", string(r.Status))
	o.str("model", r.Model)
	o.str("provider", r.Provider)
	o.texts("input", r.Input)
	o.key("output")
	o = append(o, '[')
	for i := range r.Output {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendMessage(o, &r.Output[i])
	}
	o = append(o, ']')
	o.outputText("output_text", r.Output)
	o.usage("usage", r.Usage)
	o.cost("cost", r.Cost)
	if r.Truncated > 0 {
		o.key("truncated")
		o.open()
		o.int("messages", int64(r.Truncated))
		o.close()
	} else {
		o.null("truncated")
	}
	o.int("attempts", int64(r.Attempts))
	if r.FallbackFrom != "" {
		o.str("fallback_from", r.FallbackFrom)
	}
	o.strOrNull("finish_reason", r.FinishReason)
	if e := r.Error; e != nil {
		o.key("error")
		o.open()
		o.str("code", e.Code)
		o.str("message", e.Message)
		o.close()
	} else {
		o.null("error")
	}
	o.time("created_at", r.CreatedAt)
	o.time("started_at", r.StartedAt)
	o.time("first_token_at", r.FirstTokenAt)
	o.time("completed_at", r.CompletedAt)
	o.close()
	return o
}

// outputText joins the texts of the messages without decoding them.
func (o *object) outputText(name string, output []chat.Item) {
	o.key(name)
	*o = append(*o, '"')
	for i := range output {
		if output[i].Type != llm.TypeMessage || len(output[i].Content) == 0 {
			continue
		}
		if content := output[i].Content; content[0] == '"' {
			o.inner(content)
		} else {
			for _, p := range contentParts(content) {
				o.inner(p.Text)
			}
		}
	}
	*o = append(*o, '"')
}

// inner appends what stands between the quotes of a JSON string.
func (o *object) inner(raw json.RawMessage) {
	if isString(raw) {
		*o = append(*o, raw[1:len(raw)-1]...)
	}
}

// appendList writes a page of a list; id names an element for first_id and last_id.
func appendList[T any](list chat.List[T], id func(*T) string, element func([]byte, *T) []byte) object {
	o := object(make([]byte, 0, 256+512*len(list.Data)))
	o.open()
	o.str("object", api.ObjectList)
	o.key("data")
	o = append(o, '[')
	for i := range list.Data {
		if i > 0 {
			o = append(o, ',')
		}
		o = element(o, &list.Data[i])
	}
	o = append(o, ']')
	first, last := "", ""
	if n := len(list.Data); n > 0 {
		first, last = id(&list.Data[0]), id(&list.Data[n-1])
	}
	o.strOrNull("first_id", first)
	o.strOrNull("last_id", last)
	o.bool("has_more", list.HasMore)
	return o
}
