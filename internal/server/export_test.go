package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/fault"
)

// brokenLog yields some records and then an error.
type brokenLog struct {
	audit.Log
	records  int
	appended int
}

func (l *brokenLog) Append(context.Context, ...audit.Record) error {
	l.appended++
	return nil
}

func (l *brokenLog) Export(_ context.Context, _ string, _, _ time.Time, yield func(*audit.Row) error) error {
	for range l.records {
		if err := yield(&audit.Row{Header: []byte("{}"), Chain: strings.Repeat("x", 1000)}); err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable, "store_unavailable", "The database cannot be read.")
}

func TestAnExportThatBreaksOffDoesNotLookWhole(t *testing.T) {
	s, _ := bare(t)
	log := &brokenLog{}
	s.Service.Audit = log
	ts := httptest.NewServer(s)
	defer ts.Close()

	resp := get(t, ts, "/api/audit/export")
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "store_unavailable") {
		t.Errorf("before the first line: %d %s %v", resp.StatusCode, body, err)
	}

	log.records = 2 * batchLimit / 1000
	resp = get(t, ts, "/api/audit/export")
	body, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil || resp.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("in the midst of it: %d %d bytes %v", resp.StatusCode, len(body), err)
	}
}

func TestNothingIsExportedThatIsNotRecorded(t *testing.T) {
	s, _ := bare(t)
	s.Service.Audit = deafLog{}
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/audit/export", nil)
	r.Host = "localhost"
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), `"audit_unavailable"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestAskingForTheHeadersOfAnExportExportsNothing(t *testing.T) {
	s, _ := bare(t)
	log := &brokenLog{}
	s.Service.Audit = log
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/api/audit/export", nil)
	r.Host = "localhost"
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != linesType || log.appended != 0 {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

// A client that has gone ends the export.
func TestAnExportEndsWithItsClient(t *testing.T) {
	s, _ := bare(t)
	gone := errors.New("gone")
	w := lineWriter{exchange: &exchange{ResponseWriter: failingWriter{httptest.NewRecorder(), gone}, server: s}}
	if err := w.add(&audit.Row{Chain: strings.Repeat("x", batchLimit)}); !errors.Is(err, gone) || !errors.Is(err, errClientGone) {
		t.Error(err)
	}
}

type failingWriter struct {
	http.ResponseWriter
	err error
}

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
