package server

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// authFailureInterval is how often failed authentications become an audit record: an attacker must not fill the log.
const authFailureInterval = time.Minute

// authFailures counts failed authentications between two records.
type authFailures struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether a record is to be written now.
func (a *authFailures) due(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.last.IsZero() && now.Sub(a.last) < authFailureInterval {
		return false
	}
	a.last = now
	return true
}

// authFailed leaves an audit record of a failed authentication, one a minute at most. The refusal does not wait on it.
func (s *server) authFailed(x *exchange, r *http.Request) {
	now := s.Service.Now()
	if !s.failures.due(now) {
		return
	}
	err := s.Service.Audit.Append(r.Context(), audit.Record{
		ID: s.Service.NewID(chat.PrefixAudit), Time: now.UTC().Truncate(time.Millisecond), Kind: audit.KindAuthFailed,
		Owner: x.caller.Owner, Actor: actorAnonymous, RequestID: x.caller.RequestID,
	})
	if err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelError, "a failed authentication could not be audited", slog.Any("error", err))
	}
}
