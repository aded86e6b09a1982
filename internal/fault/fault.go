// Package fault is the error vocabulary of Parley: what kind of failure it is and what a client may be told of it.
//
// It owns kinds, stable codes and client-safe messages. It does not know HTTP: a server turns a Kind into a status,
// once, in one table.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies an error. The zero Kind is Internal, so that an unclassified error is never taken for the client's fault.
type Kind uint8

// The kinds of failure. Upstream and Timeout concern the model's provider, Unavailable ourselves.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Forbidden
	NotFound
	Gone
	Conflict
	Precondition
	TooLarge
	RateLimited
	Upstream
	Timeout
	Unavailable
	Canceled
)

// String is the kind's name, by which it may be stored.
func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not_found"
	case Gone:
		return "gone"
	case Conflict:
		return "conflict"
	case Precondition:
		return "precondition"
	case TooLarge:
		return "too_large"
	case RateLimited:
		return "rate_limited"
	case Upstream:
		return "upstream"
	case Timeout:
		return "timeout"
	case Unavailable:
		return "unavailable"
	case Canceled:
		return "canceled"
	}
	return ""
}

// KindOf is the kind of that name; Internal where there is none.
func KindOf(name string) Kind {
	for k := Internal; k.String() != ""; k++ {
		if k.String() == name {
			return k
		}
	}
	return Internal
}

// Field is one thing wrong with a request. Location is a path such as "body.params.top_p" or "query.limit";
// Message never quotes the caller's text.
type Field struct {
	Location string
	Message  string
}

// Error is a failure that has been classified. It is made once, at the edge that knows what happened.
type Error struct {
	Kind Kind
	// Code is stable and snake_case: clients branch on it.
	Code string
	// Message is for the client. It holds no caller's text, no provider's text, no secret.
	Message string
	// Fields lists every field error at once.
	Fields []Field
	// ResponseID names the response that failed, where one was begun.
	ResponseID string
	// RetryAfter tells the client when to come again; 0 where nothing is known.
	RetryAfter time.Duration
	// Err is the cause, for the log only.
	Err error
}

// New makes a classified error with a message for the client.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Newf is New with a formatted message. Nothing of the caller's text may be formatted into it.
func Newf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with the cause kept for the log.
func Wrap(err error, kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message, Err: err}
}

// Error is the text for the log: it includes the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of finds the classified error in err's chain. An unclassified one becomes Internal with a message that says nothing of it.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Code: "internal", Message: "Something went wrong on our side. The server's log has it under this request's id.", Err: err}
}

// Is reports whether err is classified with that code.
func Is(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
