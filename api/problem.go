package api

import (
	"errors"
	"strings"
	"time"
)

// Problem is an error as RFC 9457 has it. Branch on Code: it is stable.
type Problem struct {
	Type       string         `json:"type" doc:"The path of a page that says why it happens and what to do; made of the code." example:"/problems/validation_failed"`
	Title      string         `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status     int            `json:"status" example:"422"`
	Detail     string         `json:"detail" doc:"What happened, for a person to read." example:"The request is not valid."`
	Code       string         `json:"code" doc:"Stable; branch on it." example:"validation_failed"`
	RequestID  string         `json:"request_id,omitempty" doc:"Also the x-request-id header, the log line and the audit record."`
	ResponseID string         `json:"response_id,omitempty" doc:"The response that failed, where one was begun."`
	Errors     []ProblemField `json:"errors,omitempty" doc:"Everything that is wrong with the request, at once."`

	// ShouldRetry says that the same request may succeed later, and RetryAfter when to try, where the server knows; both
	// come from the answer's headers.
	ShouldRetry bool          `json:"-"`
	RetryAfter  time.Duration `json:"-"`
}

// CodeUnexpected is the code of a Problem that a client makes of an answer that is none of Parley's.
const CodeUnexpected = "unexpected_answer"

// ErrorCode is the code of the Problem in err's chain, or empty where there is none.
func ErrorCode(err error) string {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	return ""
}

// ProblemField is one thing wrong with a request.
type ProblemField struct {
	Location string `json:"location" doc:"Where, such as body.params.top_p or query.limit." example:"body.params.top_p"`
	Message  string `json:"message" doc:"What is expected." example:"expected number <= 1"`
}

// Error makes a Problem an error. It names what is wrong, field by field.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Code + ": " + p.Detail)
	for _, f := range p.Errors {
		b.WriteString(" " + f.Location + ": " + f.Message + ".")
	}
	return b.String()
}
