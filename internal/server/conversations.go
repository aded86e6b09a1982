package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
)

const (
	conversationsPath = "/api/conversations"
	conversationPath  = conversationsPath + "/{conversation_id}"
	tagConversations  = "Conversations"

	// maxIncluded is how many messages come with a conversation.
	maxIncluded = 1000
)

func (s *server) conversationRoutes() {
	register(s, route{
		method: http.MethodPost, path: conversationsPath, id: "createConversation", tag: tagConversations,
		summary: "Create a conversation", description: "Stores a conversation, with its first messages if there are any. No model is called. The body may be left out.",
		status: http.StatusCreated, reply: api.Conversation{}, headers: []string{"ETag", "Location", replayedHeader}, errors: []int{http.StatusConflict},
		examples: map[string]any{
			"Empty": map[string]any{},
			"With instructions and history": map[string]any{
				"title": "Trip to Lisbon", "instructions": "Answer in one sentence.", "metadata": map[string]any{"channel": "web"},
				"messages": []any{map[string]any{"role": "user", "content": "I am going to Lisbon."}, map[string]any{"role": "assistant", "content": "Enjoy it!"}},
			},
		},
	}, s.createConversation)
	register(s, route{
		method: http.MethodGet, path: conversationsPath, id: "listConversations", tag: tagConversations,
		summary: "List conversations", description: "Newest activity first. Filters and q combine: only what meets all of them is listed, in the same order and by the same pages. A filtered or searched list that takes longer than two seconds is a 422, search_too_broad.",
		status: http.StatusOK, reply: api.ConversationList{},
	}, s.listConversations)
	register(s, route{
		method: http.MethodGet, path: conversationPath, id: "getConversation", tag: tagConversations,
		summary: "Read a conversation", description: "With include=messages its newest 1,000 messages come with it, oldest first.",
		status: http.StatusOK, reply: api.Conversation{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound}, notModified: true,
	}, s.getConversation)
	register(s, route{
		method: http.MethodPatch, path: conversationPath, id: "updateConversation", tag: tagConversations,
		summary: "Change a conversation's settings", description: "A JSON merge patch: what is left out stays, null resets, params and metadata merge key by key. It works while a response runs and acts from the next prompt on.",
		status: http.StatusOK, reply: api.Conversation{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
		examples: map[string]any{"Rename and retune": map[string]any{"title": "Lisbon in May", "params": map[string]any{"temperature": 0.2, "seed": nil}}},
	}, s.patchConversation)
	register(s, route{
		method: http.MethodPut, path: conversationPath, id: "replaceConversation", tag: tagConversations,
		summary: "Replace a conversation's settings", description: "Replaces title, model, instructions, params and metadata; what is left out or null is reset.",
		status: http.StatusOK, reply: api.Conversation{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
		examples: map[string]any{"Settings": map[string]any{"title": "Lisbon in May", "model": "gpt-4o-mini", "instructions": "Answer in one sentence."}},
	}, s.replaceConversation)
	register(s, route{
		method: http.MethodDelete, path: conversationPath, id: "deleteConversation", tag: tagConversations,
		summary: "Delete a conversation", description: "Its messages and responses go with it; a running response is cancelled first. Its audit records stay.",
		status: http.StatusNoContent, errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, s.deleteConversation)
}

type createConversationInput struct {
	withBody[*api.NewConversation]
}

func (s *server) createConversation(ctx context.Context, in *createConversationInput) (*answer, error) {
	body := in.Body
	if body == nil {
		body = &api.NewConversation{}
	}
	c, err := s.Service.CreateConversation(ctx, exchangeOf(ctx).caller, chat.Conversation{
		Title: body.Title, User: body.User, Model: body.Model, Instructions: body.Instructions,
		Params: params(body.Params), Metadata: body.Metadata,
	}, newItems(body.Messages))
	if err != nil {
		return nil, err
	}
	a := conversationAnswer(http.StatusCreated, &c)
	a.Location = conversationsPath + "/" + c.ID
	return a, nil
}

func conversationAnswer(status int, c *chat.Conversation) *answer {
	a := jsonAnswer(status, appendConversation(make([]byte, 0, 768), c))
	a.ETag = etag(c.Version)
	return a
}

type getConversationInput struct {
	strict
	ConversationPath
	IfNoneMatch
	Include string `query:"include" enum:"messages" doc:"messages: with its messages."`
}

func (s *server) getConversation(ctx context.Context, in *getConversationInput) (*answer, error) {
	owner := exchangeOf(ctx).caller.Owner
	c, err := s.Service.Conversation(ctx, owner, in.ConversationID)
	if err != nil {
		return nil, err
	}
	if parsePrecondition(in.IfNoneMatch.IfNoneMatch, true).matches(c.Version) {
		return notModified(c.Version), nil
	}
	if in.Include == "" {
		return conversationAnswer(http.StatusOK, &c), nil
	}
	list, err := s.Service.Items(ctx, owner, in.ConversationID, chat.Page{Limit: maxIncluded, Desc: true, MaxBytes: maxPageBytes})
	if err != nil {
		return nil, err
	}
	slices.Reverse(list.Data)
	a := jsonAnswer(http.StatusOK, appendWithMessages(&c, list))
	a.ETag = etag(c.Version)
	return a, nil
}

func appendWithMessages(c *chat.Conversation, list chat.List[chat.Item]) []byte {
	var o object
	o.open()
	o.conversation(c)
	o.key("messages")
	o = append(o, '[')
	for i := range list.Data {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendMessage(o, &list.Data[i])
	}
	o = append(o, ']')
	o.bool("has_more", list.HasMore)
	o.close()
	return o
}

type patchConversationInput struct {
	ConversationPath
	IfMatch
	withBody[api.ConversationPatch]
}

func (s *server) patchConversation(ctx context.Context, in *patchConversationInput) (*answer, error) {
	p := &in.Body
	if p.Title.IsZero() && p.Model.IsZero() && p.Instructions.IsZero() && p.Params.IsZero() && p.Metadata.IsZero() {
		return s.unchangedConversation(ctx, in.ConversationID, in.IfMatch.IfMatch)
	}
	return s.updateConversation(ctx, in.ConversationID, in.IfMatch.IfMatch, func(c *chat.Conversation) {
		if p.Title.Set {
			c.SetTitle(p.Title.Value)
		}
		c.Model = patch(c.Model, p.Model)
		c.Instructions = patch(c.Instructions, p.Instructions)
		if p.Params.Set {
			c.Params = patchParams(c.Params, p.Params)
		}
		c.Metadata = patchMetadata(c.Metadata, p.Metadata)
	})
}

// unchangedConversation answers a patch that changes nothing: no version for nothing.
func (s *server) unchangedConversation(ctx context.Context, id, ifMatch string) (*answer, error) {
	c, err := s.Service.Conversation(ctx, exchangeOf(ctx).caller.Owner, id)
	if err != nil {
		return nil, err
	}
	if cond := parsePrecondition(ifMatch, false); cond.given && !cond.matches(c.Version) {
		return nil, staleVersion()
	}
	return conversationAnswer(http.StatusOK, &c), nil
}

type replaceConversationInput struct {
	ConversationPath
	IfMatch
	withBody[api.ReplaceConversation]
}

func (s *server) replaceConversation(ctx context.Context, in *replaceConversationInput) (*answer, error) {
	b := &in.Body
	return s.updateConversation(ctx, in.ConversationID, in.IfMatch.IfMatch, func(c *chat.Conversation) {
		c.SetTitle(b.Title)
		c.Model, c.Instructions, c.Params, c.Metadata = b.Model, b.Instructions, params(b.Params), b.Metadata
	})
}

func (s *server) updateConversation(ctx context.Context, id, ifMatch string, change func(*chat.Conversation)) (*answer, error) {
	caller := exchangeOf(ctx).caller
	version, err := s.conversationVersion(ctx, caller.Owner, id, ifMatch)
	if err != nil {
		return nil, err
	}
	c, err := s.Service.UpdateConversation(ctx, caller, id, version, func(c *chat.Conversation) error {
		change(c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return conversationAnswer(http.StatusOK, &c), nil
}

// conversationVersion is the version that an If-Match demands of a conversation.
func (s *server) conversationVersion(ctx context.Context, owner, id, ifMatch string) (int64, error) {
	return parsePrecondition(ifMatch, false).version(func() (int64, error) {
		c, err := s.Service.Conversation(ctx, owner, id)
		return c.Version, err
	})
}

type deleteConversationInput struct {
	strict
	ConversationPath
	IfMatch
}

func (s *server) deleteConversation(ctx context.Context, in *deleteConversationInput) (*answer, error) {
	caller := exchangeOf(ctx).caller
	version, err := s.conversationVersion(ctx, caller.Owner, in.ConversationID, in.IfMatch.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Service.DeleteConversation(ctx, caller, in.ConversationID, version); err != nil {
		return nil, err
	}
	return noContent(), nil
}
