package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Order of a list.
const (
	Asc  = "asc"
	Desc = "desc"
)

// ListQuery selects a page of a list. The zero value is the first page in the list's own order.
type ListQuery struct {
	// Limit is 1 to 100; 0 is the server's default of 20.
	Limit int
	// After and Before are ids of the list.
	After, Before string
	// Order is Asc, Desc, or empty for the list's own.
	Order string
}

func (q *ListQuery) values() url.Values {
	v := url.Values{}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	set(v, "after", q.After)
	set(v, "before", q.Before)
	set(v, "order", q.Order)
	return v
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

func setTime(v url.Values, name string, t time.Time) {
	if !t.IsZero() {
		v.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// ConversationQuery selects conversations. What is left empty does not filter.
type ConversationQuery struct {
	ListQuery
	// Text is searched for in titles and messages.
	Text  string
	Model string
	User  string
	// Metadata is what all of them have.
	Metadata                    map[string]string
	CreatedAfter, CreatedBefore time.Time
}

func (q *ConversationQuery) values() url.Values {
	v := q.ListQuery.values()
	set(v, "q", q.Text)
	set(v, "model", q.Model)
	set(v, "user", q.User)
	for key, value := range q.Metadata {
		v.Set("metadata["+key+"]", value)
	}
	setTime(v, "created_after", q.CreatedAfter)
	setTime(v, "created_before", q.CreatedBefore)
	return v
}

// CreateConversation stores a new conversation.
func (c *Client) CreateConversation(ctx context.Context, body NewConversation) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("conversations"), body: body}, &conv)
	return conv, err
}

// Conversations returns a page of conversations, newest activity first.
func (c *Client) Conversations(ctx context.Context, q ConversationQuery) (list ConversationList, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations"), query: q.values()}, &list)
	return list, err
}

// AllConversations are the conversations of a query, from its page on. An error ends it.
func (c *Client) AllConversations(ctx context.Context, q ConversationQuery) iter.Seq2[FoundConversation, error] {
	return all(func(after string) ([]FoundConversation, string, error) {
		if after != "" {
			q.After = after
		}
		list, err := c.Conversations(ctx, q)
		return list.Data, next(&list.Page, list.Next), err
	})
}

// Conversation returns a conversation without its messages.
func (c *Client) Conversation(ctx context.Context, id string) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations", id)}, &conv)
	return conv, err
}

// ConversationWithMessages returns a conversation with its newest 1,000 messages.
func (c *Client) ConversationWithMessages(ctx context.Context, id string) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations", id), query: url.Values{"include": {"messages"}}}, &conv)
	return conv, err
}

// UpdateConversation changes what the patch names. A version other than 0 must still be the current one, else the error is
// a Problem of code version_mismatch.
func (c *Client) UpdateConversation(ctx context.Context, id string, version int64, patch ConversationPatch) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodPatch, path: path("conversations", id), body: patch, version: version}, &conv)
	return conv, err
}

// ReplaceConversation replaces all settings; for version see UpdateConversation.
func (c *Client) ReplaceConversation(ctx context.Context, id string, version int64, body ReplaceConversation) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodPut, path: path("conversations", id), body: body, version: version}, &conv)
	return conv, err
}

// DeleteConversation deletes a conversation with all that hangs on it; for version see UpdateConversation.
func (c *Client) DeleteConversation(ctx context.Context, id string, version int64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path("conversations", id), version: version}, nil)
}

// ForkConversation copies a conversation up to and including a message.
func (c *Client) ForkConversation(ctx context.Context, id string, body ForkConversation) (conv Conversation, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("conversations", id, "fork"), body: body}, &conv)
	return conv, err
}

// CreateMessage adds a message. No model is called.
func (c *Client) CreateMessage(ctx context.Context, conversationID string, body NewMessage) (m Message, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("conversations", conversationID, "messages"), body: body}, &m)
	return m, err
}

// Messages returns a page of a conversation's messages, oldest first.
func (c *Client) Messages(ctx context.Context, conversationID string, q ListQuery) (list MessageList, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations", conversationID, "messages"), query: q.values()}, &list)
	return list, err
}

// AllMessages are a conversation's messages, from the query's page on. An error ends it.
func (c *Client) AllMessages(ctx context.Context, conversationID string, q ListQuery) iter.Seq2[Message, error] {
	return all(func(after string) ([]Message, string, error) {
		if after != "" {
			q.After = after
		}
		list, err := c.Messages(ctx, conversationID, q)
		return list.Data, next(&list.Page, nil), err
	})
}

// Message returns one message.
func (c *Client) Message(ctx context.Context, conversationID, id string) (m Message, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations", conversationID, "messages", id)}, &m)
	return m, err
}

// UpdateMessage changes what the patch names; for version see UpdateConversation.
func (c *Client) UpdateMessage(ctx context.Context, conversationID, id string, version int64, patch MessagePatch) (m Message, err error) {
	err = c.do(ctx, call{method: http.MethodPatch, path: path("conversations", conversationID, "messages", id), body: patch, version: version}, &m)
	return m, err
}

// ReplaceMessage replaces content and metadata; for version see UpdateConversation.
func (c *Client) ReplaceMessage(ctx context.Context, conversationID, id string, version int64, body ReplaceMessage) (m Message, err error) {
	err = c.do(ctx, call{method: http.MethodPut, path: path("conversations", conversationID, "messages", id), body: body, version: version}, &m)
	return m, err
}

// DeleteMessage deletes a message; for version see UpdateConversation.
func (c *Client) DeleteMessage(ctx context.Context, conversationID, id string, version int64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path("conversations", conversationID, "messages", id), version: version}, nil)
}

// all goes from page to page. fetch returns a page behind a cursor and the cursor of the next, empty behind the last.
func all[T any](fetch func(after string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			page, next, err := fetch(after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, element := range page {
				if !yield(element, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			after = next
		}
	}
}

// next is the cursor of the page behind this one: the list's own, or its last id.
func next(p *Page, cursor *string) string {
	switch {
	case !p.HasMore:
		return ""
	case cursor != nil:
		return *cursor
	case p.LastID != nil:
		return *p.LastID
	default:
		return ""
	}
}
