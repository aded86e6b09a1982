package chat

import (
	"errors"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

// Codes of what can be wrong with a search.
const (
	// CodeSearchTooBroad: the search took longer than a store gives it. Kind Invalid: the same one would do so again.
	CodeSearchTooBroad = "search_too_broad"
	// CodeOverloaded: others search already, and none of them has made way in time. Kind Unavailable.
	CodeOverloaded = "overloaded"
)

// Query says which of an owner's conversations a list holds: those that meet all that is set. The zero Query is all.
type Query struct {
	Page
	// Search is what their titles and messages must hold, all together. A zero one asks for nothing.
	Search search.Query
	Model  string
	User   string
	// Metadata holds pairs that must be among the conversation's.
	Metadata map[string]string
	// CreatedAfter and CreatedBefore are both exclusive; nil is no bound.
	CreatedAfter  *time.Time
	CreatedBefore *time.Time
}

// Plain reports whether nothing but the page is asked for.
func (q *Query) Plain() bool {
	return len(q.Search.Terms) == 0 && q.Model == "" && q.User == "" && len(q.Metadata) == 0 && q.CreatedAfter == nil && q.CreatedBefore == nil
}

// Hit is a conversation in a list.
type Hit struct {
	Conversation
	// Match shows where it was found; nil where nothing was searched for.
	Match *Match
}

// Match is the part of a conversation's message, or of its title, that shows best what was searched for: of those that
// hold most of the terms the newest message, the title after them.
type Match struct {
	search.Snippet
	// ItemID is the message's id, empty for the title.
	ItemID string
}

// ParseSearch reads what was searched for. Its error names the place.
func ParseSearch(q, location string) (search.Query, error) {
	parsed, err := search.Parse(q)
	if err == nil {
		return parsed, nil
	}
	message := "not a search"
	for _, known := range []error{search.ErrNoTerms, search.ErrTooLong, search.ErrTooManyTerms} {
		if errors.Is(err, known) {
			message = known.Error()
		}
	}
	return search.Query{}, invalid([]fault.Field{{Location: location, Message: message}})
}

// SearchText is the text in which an item is searched for: that of a message. Function calls, their outputs and whatever
// else an item may be are not searched.
func SearchText(it *Item) string {
	if it.Type != llm.TypeMessage || len(it.Content) == 0 {
		return ""
	}
	if it.Content[0] == '"' {
		return unquote(it.Content)
	}
	parts := textParts(it.Content)
	lines := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.known {
			lines = append(lines, p.text)
		}
	}
	return strings.Join(lines, "\n")
}
