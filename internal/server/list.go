package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/search"
)

type listConversationsInput struct {
	strict
	PageQuery
	Order         string            `query:"order" enum:"asc,desc" default:"desc" doc:"desc: newest activity first."`
	Q             string            `query:"q" minLength:"1" maxLength:"256" doc:"Full-text search over titles and the text of messages: all words in any order, the last one as a prefix, wherever in the conversation each stands; upper and lower case and accents make no difference. Chinese, Japanese, Korean and Thai are compared by pairs of characters. Nothing in it is an operator. At most 32 words; of a message its first 10,000 different ones are found. Each hit has a snippet." example:"lisbon hot"`
	Model         string            `query:"model" minLength:"1" maxLength:"256" doc:"Only those with this model set."`
	User          string            `query:"user" minLength:"1" maxLength:"128" doc:"Only those of this user."`
	Metadata      map[string]string `query:"metadata,deepObject" doc:"Only those with all of these pairs, each given as metadata[key]=value; at most 16."`
	CreatedAfter  string            `query:"created_after" format:"date-time" doc:"Only those created later than this; RFC 3339. created_at is in milliseconds."`
	CreatedBefore string            `query:"created_before" format:"date-time" doc:"Only those created earlier than this; RFC 3339."`

	// query is what Resolve makes of it all.
	query chat.Query
}

// Resolve implements huma.Resolver: it reads what huma takes for text, and adds what is wrong with that to huma's findings.
func (in *listConversationsInput) Resolve(ctx huma.Context) []error {
	in.query = chat.Query{Page: in.page(in.Order), Model: in.Model, User: in.User}
	q := &in.query
	q.After, q.AfterActivity = parseCursor(q.After)
	q.CreatedAfter, q.CreatedBefore = parseTime(in.CreatedAfter), parseTime(in.CreatedBefore)
	var fields []fault.Field
	u := ctx.URL()
	q.Metadata, fields = metadataQuery(u.Query())
	// One that is too long is among huma's findings.
	if in.Q != "" && utf8.RuneCountInString(in.Q) <= search.MaxQuery {
		var err error
		if q.Search, err = chat.ParseSearch(in.Q, "query.q"); err != nil {
			fields = append(fields, fault.Of(err).Fields...)
		}
	}
	return append(in.strict.Resolve(ctx), details(fields)...)
}

// parseTime is nil for what is no time, of which huma has told.
func parseTime(text string) *time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil
	}
	return &at
}

const metadataParam = "metadata"

// metadataQuery reads the pairs metadata[key]=value.
func metadataQuery(query url.Values) (pairs map[string]string, fields []fault.Field) {
	report := func(message string, limit int) {
		fields = addField(fields, fault.Field{Location: "query." + metadataParam, Message: fmt.Sprintf(message, limit)})
	}
	for name, values := range query {
		key, ok := pairKey(name)
		if !ok {
			continue
		}
		if utf8.RuneCountInString(key) > chat.MaxMetadataKey {
			report("expected keys of at most %d characters", chat.MaxMetadataKey)
		}
		if utf8.RuneCountInString(values[0]) > chat.MaxMetadataValue {
			report("expected values of at most %d characters", chat.MaxMetadataValue)
		}
		if pairs == nil {
			pairs = map[string]string{}
		}
		pairs[key] = values[0]
	}
	if len(pairs) > chat.MaxMetadataPairs {
		report("expected at most %d pairs", chat.MaxMetadataPairs)
	}
	return pairs, fields
}

// pairKey is the key in a parameter's name metadata[key].
func pairKey(name string) (key string, ok bool) {
	inner, ok := strings.CutPrefix(name, metadataParam+"[")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inner, "]")
}

func (s *server) listConversations(ctx context.Context, in *listConversationsInput) (*answer, error) {
	page := in.query.Page
	list, err := s.Service.Conversations(ctx, exchangeOf(ctx).caller.Owner, in.query)
	if err != nil {
		return nil, cursorFault(err, &page)
	}
	o := appendList(list, func(h *chat.Hit) string { return h.ID }, appendHit)
	if n := len(list.Data); n > 0 && (list.HasMore || page.Before != "") {
		o.str("next", cursorOf(&list.Data[n-1].Conversation))
	} else {
		o.null("next")
	}
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}

// cursorOf is a place in the list of conversations: the conversation and the sort key that it had there.
func cursorOf(c *chat.Conversation) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.UpdatedAt.UnixMilli(), 10) + "." + c.ID))
}

// parseCursor reads a cursor of cursorOf; anything else is an id by itself.
func parseCursor(cursor string) (id string, activity time.Time) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return cursor, time.Time{}
	}
	ms, id, found := strings.Cut(string(raw), ".")
	n, err := strconv.ParseInt(ms, 10, 64)
	if !found || err != nil {
		return cursor, time.Time{}
	}
	return id, time.UnixMilli(n).UTC()
}
