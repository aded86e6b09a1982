package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"

	"github.com/parley-llm/parley/internal/fault"
)

// The actors that the audit log names until there are keys with names.
const (
	actorAnonymous = "anonymous"
	actorEnv       = "env"
)

func (s *server) actor() string {
	if s.APIKey != "" {
		return actorEnv
	}
	return actorAnonymous
}

// authenticate demands the key where one is set. Where none is, the server is open to whoever reaches it, so it makes
// sure that no web page does: by the Host that a rebound name would bring, and by what browsers say of a request's origin.
func (s *server) authenticate(x *exchange, r *http.Request) error {
	if s.APIKey != "" {
		if isPublic(r.URL.Path) || s.holdsKey(r) {
			return nil
		}
		s.authFailed(x, r)
		return fault.New(fault.Unauthenticated, codeUnauthenticated, "Send the API key as Authorization: Bearer <key>.")
	}
	if isProbe(r.URL.Path) {
		return nil
	}
	if !s.isHost(r.Host) {
		return fault.New(fault.Forbidden, codeHostNotAllowed, "This Host is not allowed. Allow it by PARLEY_ALLOWED_HOSTS, or set PARLEY_API_KEY.")
	}
	if s.crossSite.Check(r) != nil {
		return fault.New(fault.Forbidden, codeCrossOrigin, "Requests from other web sites are refused.")
	}
	return nil
}

// holdsKey compares hashes, so that neither the length nor the beginning of the key shows in the time it takes.
func (s *server) holdsKey(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], s.keyHash[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// isProbe reports whether a path only asks whether the server is well.
func isProbe(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/healthz"
}

// isPublic reports whether a path needs no key.
func isPublic(path string) bool {
	return isProbe(path) || path == "/version" || path == "/docs" || strings.HasPrefix(path, "/docs/") ||
		path == "/problems" || strings.HasPrefix(path, problemsPath) ||
		path == "/openapi.json" || path == "/openapi.yaml" || path == "/openapi-3.0.json"
}

// isHost reports whether a Host header names this machine's loopback or a host that was allowed.
func (s *server) isHost(host string) bool {
	name := hostname(host)
	if name == "localhost" || s.hosts.has(name) {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// hostname is a Host header without port, brackets and final dot, in lower case.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && (strings.IndexByte(host, ':') == i || host[i-1] == ']') {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
