// Package server is Parley's HTTP: routes, middleware and the native dialect.
//
// It turns requests into calls of the core and what comes back into JSON or an event stream, and faults into statuses,
// once, in one table. It knows nothing of stores and providers.
package server

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/parley-llm/parley/internal/chat"
)

// The time limits of the http.Server that serves this handler. There is none for a whole answer, because a stream may
// take long: bodies and writes have deadlines of their own.
const (
	ReadHeaderTimeout = 5 * time.Second
	IdleTimeout       = 120 * time.Second
	MaxHeaderBytes    = 64 << 10
)

// DefaultMaxBody is the largest request body where Config sets none.
const DefaultMaxBody = 8 << 20

// Config is what the server needs.
type Config struct {
	Service *chat.Service
	Log     *slog.Logger
	// APIKey, if set, is demanded as a bearer token everywhere but on the paths of operations and documentation.
	APIKey string
	// AllowedHosts are the names, besides those of the loopback, that a Host header may have where no key is set.
	AllowedHosts []string
	// MaxBody is the largest request body in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Version names the program.
	Version string
	// Metrics, if set, counts requests and serves /metrics. Give it to the Service as its Observer, too.
	Metrics *Metrics
}

// server serves the API; it is read-only once built.
type server struct {
	Config
	mux       *http.ServeMux
	api       huma.API
	registry  huma.Registry
	names     names
	keyHash   [sha256.Size]byte
	hosts     names
	crossSite *http.CrossOriginProtection
	failures  authFailures
	// writers are lent to the streams that have something to say.
	writers sync.Pool
}

// New builds the handler of everything that Parley serves.
func New(cfg Config) http.Handler {
	setUpHuma()
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	s := &server{
		Config: cfg, mux: http.NewServeMux(), keyHash: sha256.Sum256([]byte(cfg.APIKey)),
		hosts: names{}, crossSite: http.NewCrossOriginProtection(),
		writers: sync.Pool{New: func() any { return &eventWriter{} }},
	}
	for _, host := range cfg.AllowedHosts {
		s.hosts[hostname(host)] = struct{}{}
	}
	s.api = humago.New(s.mux, s.humaConfig())
	s.api.UseMiddleware(s.admit)
	s.conversationRoutes()
	s.forkRoutes()
	s.messageRoutes()
	s.responseRoutes()
	s.auditRoutes()
	s.piiRoutes()
	s.operationRoutes()
	s.finishSchemas()
	s.documentationRoutes()
	s.problemRoutes()
	s.mux.HandleFunc("/", s.noRoute)
	return s
}

// setUpHuma sets huma's switches. They are variables of its package, so they are set once, ahead of any request.
var setUpHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
})
