package server

import (
	"context"
	"net/http"

	"github.com/parley-llm/parley/api"
)

func (s *server) forkRoutes() {
	register(s, route{
		method: http.MethodPost, path: conversationPath + "/fork", id: "forkConversation", tag: tagConversations,
		summary: "Fork a conversation",
		description: "Makes a new conversation with the history up to and including the message after; left out, all of it. The settings are copied, usage starts at zero.\n\n" +
			"The copies keep their ids, which are unique in a conversation only, and their response_id, which names the response that wrote them in the source; seq counts from 1. " +
			"Messages of failed turns are copied and stay out of what a model is sent. A cut between a tool call and its output leaves the call unanswered: the next prompt must bring the output. " +
			"While a response runs, what was there ahead of its turn is copied; a message of that turn cannot be cut behind. The body may be left out.",
		status: http.StatusCreated, reply: api.Conversation{}, headers: []string{"ETag", "Location", replayedHeader}, errors: []int{http.StatusNotFound, http.StatusConflict},
		examples: map[string]any{
			"All of it":       map[string]any{},
			"Up to a message": map[string]any{"after": exampleQuestion().ID, "title": "Another answer"},
		},
	}, s.forkConversation)
}

type forkConversationInput struct {
	ConversationPath
	withBody[*api.ForkConversation]
}

func (s *server) forkConversation(ctx context.Context, in *forkConversationInput) (*answer, error) {
	body := in.Body
	if body == nil {
		body = &api.ForkConversation{}
	}
	c, err := s.Service.ForkConversation(ctx, exchangeOf(ctx).caller, in.ConversationID, body.After, body.Title)
	if err != nil {
		return nil, err
	}
	a := conversationAnswer(http.StatusCreated, &c)
	a.Location = conversationsPath + "/" + c.ID
	return a, nil
}
