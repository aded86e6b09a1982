package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	messagesPath = conversationPath + "/messages"
	messagePath  = messagesPath + "/{message_id}"
	tagMessages  = "Messages"
)

func (s *server) messageRoutes() {
	register(s, route{
		method: http.MethodPost, path: messagesPath, id: "createMessage", tag: tagMessages,
		summary: "Add a message", description: "Stores a message at the end of the conversation. No model is called.",
		status: http.StatusCreated, reply: api.Message{}, headers: []string{"ETag", "Location", replayedHeader}, errors: []int{http.StatusNotFound, http.StatusConflict},
		examples: map[string]any{
			"Text":          map[string]any{"role": "user", "content": "What is the capital of Portugal?"},
			"With an image": map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": "What is this?"}, map[string]any{"type": "image_url", "image_url": map[string]any{"url": "https://example.com/cat.png"}}}},
		},
	}, s.createMessage)
	register(s, route{
		method: http.MethodGet, path: messagesPath, id: "listMessages", tag: tagMessages,
		summary: "List messages", description: "In the order of the conversation. A page also ends after 16 MiB.",
		status: http.StatusOK, reply: api.MessageList{}, errors: []int{http.StatusNotFound},
	}, s.listMessages)
	register(s, route{
		method: http.MethodGet, path: messagePath, id: "getMessage", tag: tagMessages,
		summary: "Read a message", status: http.StatusOK, reply: api.Message{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound}, notModified: true,
	}, s.getMessage)
	register(s, route{
		method: http.MethodPatch, path: messagePath, id: "updateMessage", tag: tagMessages,
		summary: "Edit a message", description: "A JSON merge patch of content and metadata. The edit leaves an audit record. The role cannot change, and a function call or its output cannot be edited.",
		status: http.StatusOK, reply: api.Message{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		examples: map[string]any{"Correct a typo": map[string]any{"content": "What is the capital of Spain?"}},
	}, s.patchMessage)
	register(s, route{
		method: http.MethodPut, path: messagePath, id: "replaceMessage", tag: tagMessages,
		summary: "Replace a message", description: "Replaces content and metadata; metadata that is left out is reset. Otherwise as an edit.",
		status: http.StatusOK, reply: api.Message{}, headers: []string{"ETag"}, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		examples: map[string]any{"Text": map[string]any{"content": "What is the capital of Spain?"}},
	}, s.replaceMessage)
	register(s, route{
		method: http.MethodDelete, path: messagePath, id: "deleteMessage", tag: tagMessages,
		summary: "Delete a message", description: "The deletion leaves an audit record.",
		status: http.StatusNoContent, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, s.deleteMessage)
}

func messageAnswer(status int, it *chat.Item) *answer {
	a := jsonAnswer(status, appendMessage(make([]byte, 0, 512+len(it.Content)), it))
	a.ETag = etag(it.Version)
	return a
}

type createMessageInput struct {
	ConversationPath
	withBody[api.NewMessage]
}

func (s *server) createMessage(ctx context.Context, in *createMessageInput) (*answer, error) {
	items, err := s.Service.AppendItems(ctx, exchangeOf(ctx).caller, in.ConversationID, []chat.Item{newItem(in.Body)})
	if err != nil {
		return nil, err
	}
	a := messageAnswer(http.StatusCreated, &items[0])
	a.Location = conversationsPath + "/" + items[0].ConversationID + "/messages/" + items[0].ID
	return a, nil
}

type listMessagesInput struct {
	strict
	ConversationPath
	PageQuery
	Order string `query:"order" enum:"asc,desc" default:"asc" doc:"asc: oldest first."`
}

func (s *server) listMessages(ctx context.Context, in *listMessagesInput) (*answer, error) {
	page := in.page(in.Order)
	list, err := s.Service.Items(ctx, exchangeOf(ctx).caller.Owner, in.ConversationID, page)
	if err != nil {
		return nil, cursorFault(err, &page)
	}
	o := appendList(list, func(it *chat.Item) string { return it.ID }, appendMessage)
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}

type getMessageInput struct {
	strict
	MessagePath
	IfNoneMatch
}

func (s *server) getMessage(ctx context.Context, in *getMessageInput) (*answer, error) {
	it, err := s.Service.Item(ctx, exchangeOf(ctx).caller.Owner, in.ConversationID, in.MessageID)
	if err != nil {
		return nil, err
	}
	if parsePrecondition(in.IfNoneMatch.IfNoneMatch, true).matches(it.Version) {
		return notModified(it.Version), nil
	}
	return messageAnswer(http.StatusOK, &it), nil
}

type patchMessageInput struct {
	MessagePath
	IfMatch
	withBody[api.MessagePatch]
}

func (s *server) patchMessage(ctx context.Context, in *patchMessageInput) (*answer, error) {
	b := &in.Body
	if b.Content == nil && b.Metadata.IsZero() {
		return s.unchangedMessage(ctx, &in.MessagePath, in.IfMatch.IfMatch, b.Role)
	}
	return s.updateMessage(ctx, &in.MessagePath, in.IfMatch.IfMatch, b.Role, b.Content, func(m map[string]string) map[string]string {
		return patchMetadata(m, b.Metadata)
	})
}

// unchangedMessage answers a patch that changes nothing: no version and no audit record for nothing.
func (s *server) unchangedMessage(ctx context.Context, at *MessagePath, ifMatch, role string) (*answer, error) {
	it, err := s.Service.Item(ctx, exchangeOf(ctx).caller.Owner, at.ConversationID, at.MessageID)
	if err != nil {
		return nil, err
	}
	if cond := parsePrecondition(ifMatch, false); cond.given && !cond.matches(it.Version) {
		return nil, staleVersion()
	}
	if err := sameRole(&it, role); err != nil {
		return nil, err
	}
	return messageAnswer(http.StatusOK, &it), nil
}

func sameRole(it *chat.Item, role string) error {
	if role != "" && role != string(roleOf(it)) {
		return invalid(fault.Field{Location: "body.role", Message: "the role of a message cannot change"})
	}
	return nil
}

type replaceMessageInput struct {
	MessagePath
	IfMatch
	withBody[api.ReplaceMessage]
}

func (s *server) replaceMessage(ctx context.Context, in *replaceMessageInput) (*answer, error) {
	b := &in.Body
	return s.updateMessage(ctx, &in.MessagePath, in.IfMatch.IfMatch, b.Role, b.Content, func(map[string]string) map[string]string {
		return maps.Clone(b.Metadata)
	})
}

// updateMessage edits a message. A role, if given, must be what it is; a nil content stays.
func (s *server) updateMessage(ctx context.Context, at *MessagePath, ifMatch, role string, raw json.RawMessage, metadata func(map[string]string) map[string]string) (*answer, error) {
	caller := exchangeOf(ctx).caller
	version, err := s.messageVersion(ctx, caller.Owner, at, ifMatch)
	if err != nil {
		return nil, err
	}
	it, err := s.Service.UpdateItem(ctx, caller, at.ConversationID, at.MessageID, version, func(it *chat.Item) error {
		if err := sameRole(it, role); err != nil {
			return err
		}
		if raw != nil {
			edited := content(it.Role, raw)
			if edited.Type != llm.TypeMessage {
				return invalid(fault.Field{Location: "body.content", Message: "a message cannot become a function call or its output"})
			}
			it.Content = edited.Content
		}
		it.Metadata = metadata(it.Metadata)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return messageAnswer(http.StatusOK, &it), nil
}

// messageVersion is the version that an If-Match demands of a message.
func (s *server) messageVersion(ctx context.Context, owner string, at *MessagePath, ifMatch string) (int64, error) {
	return parsePrecondition(ifMatch, false).version(func() (int64, error) {
		it, err := s.Service.Item(ctx, owner, at.ConversationID, at.MessageID)
		return it.Version, err
	})
}

type deleteMessageInput struct {
	strict
	MessagePath
	IfMatch
}

func (s *server) deleteMessage(ctx context.Context, in *deleteMessageInput) (*answer, error) {
	caller := exchangeOf(ctx).caller
	version, err := s.messageVersion(ctx, caller.Owner, &in.MessagePath, in.IfMatch.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Service.DeleteItem(ctx, caller, in.ConversationID, in.MessageID, version); err != nil {
		return nil, err
	}
	return noContent(), nil
}
