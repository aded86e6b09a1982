package api_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/echo"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/sqlite"
)

// start starts a server with the built-in model, whose key is "secret".
func start() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "parley-api-")
	if err != nil {
		panic(err)
	}
	newID := chat.NewID(time.Now)
	store, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(dir, "parley.db"), Now: time.Now, NewID: newID})
	if err != nil {
		panic(err)
	}
	log := slog.New(slog.DiscardHandler)
	ts := httptest.NewServer(server.New(server.Config{
		Service: &chat.Service{
			Store: store, Audit: store, Masker: pii.New(), Log: log, Now: time.Now, NewID: newID,
			Router:       &llm.Router{Endpoints: []llm.Endpoint{{Name: llm.BuiltIn, Provider: echo.Provider{}}}, Default: llm.BuiltIn},
			DefaultModel: func(context.Context) (string, error) { return "parley/echo", nil },
			Pseudonym:    func(string) string { return "u_pseudonym" }, AuditMaxChars: 2000,
			UpstreamTimeout: time.Minute, UpstreamConcurrency: 64,
		},
		Log: log, APIKey: "secret", Version: "test",
	}))
	return ts.URL, func() {
		ts.Close()
		_ = store.Close()
		_ = os.RemoveAll(dir)
	}
}

// newClient is a client of a server of its own.
func newClient(t *testing.T) *api.Client {
	t.Helper()
	url, stop := start()
	t.Cleanup(stop)
	return &api.Client{BaseURL: url + "/", APIKey: "secret"}
}
