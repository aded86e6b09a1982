package chat

// Event is one step of a response as it streams. The types and their order are those of the OpenAI Responses stream:
// created, in_progress, then for each output item added, its parts and deltas, done, and one terminal event.
type Event interface {
	// Type is the event's name on the wire.
	Type() string
}

// ResponseEvent carries the whole response: response.created, response.queued, response.in_progress, and the terminal
// response.completed, response.incomplete, response.failed.
type ResponseEvent struct {
	Name     string
	Response Response
}

// ItemEvent opens an output item (response.output_item.added) or closes it (response.output_item.done).
type ItemEvent struct {
	Done        bool
	OutputIndex int
	Item        Item
	// CallID and Name are a function call's, when it opens.
	CallID string
	Name   string
	// EncryptedContent is a reasoning step's, when it closes.
	EncryptedContent string
}

// PartKind is the type of a content part.
type PartKind string

// The content parts that stream.
const (
	PartText    PartKind = "output_text"
	PartRefusal PartKind = "refusal"
)

// PartEvent opens or closes a content part of a message: response.content_part.added and .done. Text is the whole text,
// empty when it opens.
type PartEvent struct {
	Done         bool
	ItemID       string
	OutputIndex  int
	ContentIndex int
	Kind         PartKind
	Text         string
}

// TextEvent is a piece of a part's text (response.output_text.delta, response.refusal.delta) or, with Done, all of it.
type TextEvent struct {
	Done         bool
	ItemID       string
	OutputIndex  int
	ContentIndex int
	Kind         PartKind
	Text         string
}

// ArgumentsEvent is a piece of a function call's arguments, or, with Done, all of them:
// response.function_call_arguments.delta and .done.
type ArgumentsEvent struct {
	Done        bool
	ItemID      string
	OutputIndex int
	Name        string
	Arguments   string
}

// ReasoningEvent is a piece of the model's visible reasoning, or, with Done, all of it:
// response.reasoning_text.delta and .done.
type ReasoningEvent struct {
	Done         bool
	ItemID       string
	OutputIndex  int
	ContentIndex int
	Text         string
}

// logged is an event of a large answer that holds its text: it stands for what is made from the event log when a reader comes to it.
type logged struct {
	// encrypted is what closes a reasoning step, for the log.
	encrypted string
}

// Type implements Event. No reader sees it.
func (*logged) Type() string { return "" }

// The names of the response events.
const (
	EventCreated    = "response.created"
	EventQueued     = "response.queued"
	EventInProgress = "response.in_progress"
	EventCompleted  = "response.completed"
	EventIncomplete = "response.incomplete"
	EventFailed     = "response.failed"
)

// Type implements Event.
func (e *ResponseEvent) Type() string { return e.Name }

// Type implements Event.
func (e *ItemEvent) Type() string {
	if e.Done {
		return "response.output_item.done"
	}
	return "response.output_item.added"
}

// Type implements Event.
func (e *PartEvent) Type() string {
	if e.Done {
		return "response.content_part.done"
	}
	return "response.content_part.added"
}

// Type implements Event.
func (e *TextEvent) Type() string {
	switch {
	case e.Kind == PartRefusal && e.Done:
		return "response.refusal.done"
	case e.Kind == PartRefusal:
		return "response.refusal.delta"
	case e.Done:
		return "response.output_text.done"
	default:
		return "response.output_text.delta"
	}
}

// Type implements Event.
func (e *ArgumentsEvent) Type() string {
	if e.Done {
		return "response.function_call_arguments.done"
	}
	return "response.function_call_arguments.delta"
}

// Type implements Event.
func (e *ReasoningEvent) Type() string {
	if e.Done {
		return "response.reasoning_text.done"
	}
	return "response.reasoning_text.delta"
}

// beginning is what every response begins with; r is as it was begun.
func beginning(r Response, background bool) []Event {
	created := r
	if background {
		created.Status = Queued
	}
	events := []Event{&ResponseEvent{Name: EventCreated, Response: created}}
	if background {
		events = append(events, &ResponseEvent{Name: EventQueued, Response: created})
	}
	r.Status = InProgress
	return append(events, &ResponseEvent{Name: EventInProgress, Response: r})
}

// size is about how much memory an event takes. What repeats texts that have come piece by piece counts as little: those have been counted.
func size(ev Event) int {
	const fixed = 96
	switch ev := ev.(type) {
	case *TextEvent:
		if !ev.Done {
			return fixed + len(ev.Text)
		}
	case *ArgumentsEvent:
		if !ev.Done {
			return fixed + len(ev.Arguments)
		}
	case *ReasoningEvent:
		if !ev.Done {
			return fixed + len(ev.Text)
		}
	case *ItemEvent:
		return fixed + len(ev.EncryptedContent)
	case *logged:
		return fixed + len(ev.encrypted)
	}
	return fixed
}
