//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
	"github.com/parley-llm/parley/internal/mongotest"
)

// fleet is several instances of the real program on one database of MongoDB.
type fleet struct {
	uri, database string
	env           []string
}

// newFleet makes a database for instances whose models are at a URL.
func newFleet(t *testing.T, models string) *fleet {
	t.Helper()
	uri := os.Getenv(mongotest.Env)
	f := &fleet{uri: uri, database: mongotest.Database(t, uri)}
	// On the stand-in all wait while a transaction is open, and that could not go on if those that wait had all the connections.
	more := "?"
	if strings.Contains(uri, more) {
		more = "&"
	}
	f.env = []string{
		"PARLEY_STORE=" + uri + more + "maxPoolSize=1000", "MONGODB_DATABASE=" + f.database, "PARLEY_SECRET_KEY=" + strings.Repeat("k", 32),
		"OPENAI_BASE_URL=" + models, "OPENAI_MODEL=" + crashtest.ModelName,
	}
	return f
}

// launch starts some instances and waits until they are ready.
func (f *fleet) launch(t *testing.T, n int) []*process {
	t.Helper()
	list := make([]*process, n)
	for i := range list {
		list[i] = launch(t, t.TempDir(), f.env)
	}
	for _, p := range list {
		p.await(t)
	}
	return list
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// client is one for the API that makes a connection for each request: an instance may be gone.
func (p *process) client() *api.Client { return crashtest.Client(p.url) }

// eventBytes are the events of a response behind one, as they are sent, without the signs of life between them.
func (p *process) eventBytes(t *testing.T, id string, after int) string {
	t.Helper()
	a := p.call(t, http.MethodGet, fmt.Sprintf("/api/responses/%s/events?after=%d", id, after), "")
	if a.status != http.StatusOK {
		t.Errorf("the events of %s: %d %s", id, a.status, a.body)
	}
	return withoutComments(strings.NewReader(string(a.body)))
}

// withoutComments reads an event stream to its end.
func withoutComments(r io.Reader) string {
	var b strings.Builder
	comment := false
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		if comment = strings.HasPrefix(line, ":") || comment && line == "\n"; !comment {
			b.WriteString(line)
		}
		if err != nil {
			return b.String()
		}
	}
}
