package llmtest

import (
	"context"
	"errors"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
)

// Answer is what came of one call.
type Answer struct {
	Text, Refusal, Reasoning string
	// Encrypted is what came to be sent back with the reasoning.
	Encrypted []string
	Calls     []Call
	// Deltas counts the events between Started and the end.
	Deltas   int
	Started  *llm.Started
	Finished *llm.Finished
	// Err is nil exactly where Finished is not.
	Err *llm.Error
}

// Call is a tool call.
type Call struct{ ID, Name, Arguments string }

// Collect makes a call and reads it to its end. Whatever breaks the order of events that llm.Event promises fails the test.
func Collect(ctx context.Context, t testing.TB, p llm.Provider, call *llm.Call) Answer {
	t.Helper()
	var a Answer
	for ev, err := range p.Generate(ctx, call) {
		if a.Err != nil || a.Finished != nil {
			t.Errorf("after the end came %#v, %v", ev, err)
			break
		}
		if err != nil {
			a.fail(t, err)
			continue
		}
		a.add(t, ev)
	}
	if (a.Err == nil) == (a.Finished == nil) {
		t.Errorf("the answer ended with %v and %v; want one of the two", a.Finished, a.Err)
	}
	return a
}

func (a *Answer) fail(t testing.TB, err error) {
	t.Helper()
	if e, ok := errors.AsType[*llm.Error](err); ok && e.Fault != nil {
		a.Err = e
		return
	}
	t.Errorf("the error is not an *llm.Error with a fault: %v", err)
}

func (a *Answer) add(t testing.TB, ev llm.Event) {
	t.Helper()
	if _, first := ev.(llm.Started); first == (a.Started != nil) {
		t.Errorf("%#v comes in the wrong place", ev)
	}
	a.Deltas++
	empty := false
	switch ev := ev.(type) {
	case llm.Started:
		a.Started = &ev
		a.Deltas--
	case llm.TextDelta:
		a.Text += ev.Text
		empty = ev.Text == ""
	case llm.RefusalDelta:
		a.Refusal += ev.Text
		empty = ev.Text == ""
	case llm.ReasoningDelta:
		a.Reasoning += ev.Text
		empty = ev.Text == ""
	case llm.ReasoningEncrypted:
		a.Encrypted = append(a.Encrypted, ev.Content)
		empty = ev.Content == ""
	case llm.ToolCallStarted:
		if ev.Index != len(a.Calls) || ev.CallID == "" || ev.Name == "" {
			t.Errorf("%#v as call %d", ev, len(a.Calls))
		}
		a.Calls = append(a.Calls, Call{ID: ev.CallID, Name: ev.Name})
	case llm.ToolCallDelta:
		empty = ev.Arguments == ""
		if ev.Index < 0 || ev.Index >= len(a.Calls) {
			t.Errorf("%#v belongs to no call", ev)
			return
		}
		a.Calls[ev.Index].Arguments += ev.Arguments
	case llm.Finished:
		a.Finished = &ev
		a.Deltas--
	}
	if empty {
		t.Errorf("%#v is empty", ev)
	}
}
