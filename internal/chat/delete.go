package chat

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/fault"
)

// deletePatience is how long a deletion waits for the responses that it cancels to end.
const (
	deletePatience = 10 * time.Second
	deletePause    = 20 * time.Millisecond
)

// DeleteConversation removes a conversation with all that hangs on it. A response that is running is cancelled and ends
// first, with its outcome; one that begins meanwhile too. If that takes too long: Conflict, conversation_locked.
//
// version 0 matches any. Another one must be the current one when the deletion begins, or nothing is cancelled; from then
// on the end of the cancelled response is the only change that is let pass.
func (s *Service) DeleteConversation(ctx context.Context, caller Caller, id string, version int64) error {
	patience, stop := context.WithTimeout(ctx, deletePatience)
	defer stop()
	cancelled := ""
	for {
		c, err := s.Store.Conversation(ctx, caller.Owner, id)
		if err != nil {
			return err
		}
		if version != 0 && cancelled != "" && c.ActiveResponse != cancelled {
			version++
		}
		if version != 0 && c.Version != version {
			return VersionMismatch()
		}
		if run := s.run(c.ActiveResponse); run != nil {
			cancelled = c.ActiveResponse
			run.cancel(errConversationDeleted)
			select {
			case <-run.left:
				continue
			case <-patience.Done():
			}
		} else if cancelled, err = s.askElsewhere(ctx, caller.Owner, c.ActiveResponse); err != nil {
			return err
		} else if err := s.deleteConversation(ctx, caller, id, version, c.ActiveResponse); !fault.Is(err, CodeConversationLocked) {
			return err
		}
		// Another prompt was quicker, or the end takes long.
		select {
		case <-time.After(deletePause):
		case <-patience.Done():
			if ctx.Err() != nil {
				return fault.Wrap(context.Cause(ctx), fault.Canceled, "canceled", "The request was given up before the running response had ended.")
			}
			return Locked()
		}
	}
}

// askElsewhere asks the process that makes a response, where it may be another one, to stop it, and returns its id if so.
func (s *Service) askElsewhere(ctx context.Context, owner, id string) (asked string, err error) {
	shared, ok := s.Store.(Shared)
	if !ok || id == "" {
		return "", nil
	}
	err = shared.RequestCancel(ctx, owner, id)
	if fault.Is(err, CodeResponseNotFound) {
		return "", nil
	}
	return id, err
}

func (s *Service) deleteConversation(ctx context.Context, caller Caller, id string, version int64, orphan string) error {
	rec := s.record(audit.KindConversationDeleted, caller)
	rec.ConversationID = id
	defer s.contexts.drop(caller.Owner, id)
	return s.Store.DeleteConversation(ctx, caller.Owner, id, version, orphan, rec)
}
