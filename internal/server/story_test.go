package server_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llmtest"
)

var update = flag.Bool("update", false, "rewrite what the stories and the generated files expect")

// TestStories plays testdata/*.txtar: prose, then sections in order.
//
//	settings   name=value lines ahead of everything: context_messages, api_key, audit_max_chars, upstream_timeout, anthropic, fallback,
//	           context_window (model,tokens)
//	upstream   the model's next answer, as raw HTTP (see llmtest); anthropic: that of the other model, where there is one
//	request    a request as text; $conv1, $msg2, ... are the ids that answers have named, in order
//	response   status, the telling headers, the body; JSON indented, ids and times replaced
//	sent       what the models' upstreams have received since the last such section
//	audit      the audit records written since the last such section, oldest first
//
// A section's name may be followed by a colon and words. -update rewrites response, sent and audit.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &story{t: t, ids: map[string]string{}, names: map[string]string{}, counts: map[string]int{}}
			s.play(archive)
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type story struct {
	*world
	t *testing.T
	// ids maps $conv1 to an id, names an id to $conv1.
	ids, names map[string]string
	counts     map[string]int
	last       string
	sent       [2]int
	audited    string
}

func (s *story) play(archive *txtar.Archive) {
	settings := settings{}
	for i := range archive.Files {
		f := &archive.Files[i]
		kind, _, _ := strings.Cut(f.Name, ":")
		if kind != "settings" && s.world == nil {
			s.world = newWorld(s.t, settings)
		}
		switch kind {
		case "settings":
			settings.read(s.t, string(f.Data))
		case "upstream":
			s.upstream.Answer(strings.TrimSuffix(string(f.Data), "\n"))
		case "anthropic":
			s.anthropic.Answer(strings.TrimSuffix(string(f.Data), "\n"))
		case "request":
			s.last = s.request(string(f.Data))
		case "response":
			s.expect(f, s.last)
		case "sent":
			s.expect(f, s.sentSince())
		case "audit":
			s.expect(f, s.auditSince())
		default:
			s.t.Fatalf("unknown section %q", f.Name)
		}
	}
}

// expect compares a section with what happened, or rewrites it.
func (s *story) expect(f *txtar.File, got string) {
	s.t.Helper()
	if !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	if *update {
		f.Data = []byte(got)
		return
	}
	if want := string(f.Data); got != want {
		s.t.Errorf("%s\n--- got\n%s--- want\n%s", f.Name, got, want)
	}
}

func (s *story) request(text string) string {
	head, body, _ := strings.Cut(text, "\n\n")
	if !strings.Contains(text, "\n\n") {
		head = strings.TrimSuffix(head, "\n")
	}
	lines := strings.Split(s.expand(s.fill(head)), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	raw := s.expand(s.fill(strings.TrimSuffix(body, "\n")))
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+target, strings.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	if raw != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Set(name, value)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	conforms(s.t, s.spec(), method, req.URL.Path, resp, got)
	return s.show(resp, got)
}

var shownHeaders = []string{"Allow", "Content-Type", "ETag", "Idempotent-Replayed", "Location", "Retry-After", "Retry-After-Ms", "WWW-Authenticate", "X-Should-Retry"}

func (s *story) show(resp *http.Response, body []byte) string {
	var b strings.Builder
	fmt.Fprintln(&b, resp.StatusCode)
	for _, name := range shownHeaders {
		if v := resp.Header.Get(name); v != "" && v != "application/json" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	if len(body) > 0 {
		b.WriteByte('\n')
		b.Write(indent(body))
	}
	return s.normal(b.String())
}

// indent lays JSON out, one value or one a line; what is no JSON stays as it is.
func indent(body []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(body), "", "  ") == nil {
		return append(b.Bytes(), '\n')
	}
	b.Reset()
	for line := range bytes.Lines(body) {
		if json.Indent(&b, line, "", "  ") != nil {
			return body
		}
	}
	return b.Bytes()
}

func (s *story) sentSince() string {
	var b strings.Builder
	for i, u := range []*llmtest.Upstream{s.upstream, s.anthropic} {
		if u == nil {
			continue
		}
		requests := u.Requests()
		for _, r := range requests[s.sent[i]:] {
			fmt.Fprintf(&b, "%s %s\n", r.Method, r.Target)
			b.Write(indent(r.Body))
		}
		s.sent[i] = len(requests)
	}
	return s.normal(b.String())
}

func (s *story) auditSince() string {
	s.t.Helper()
	var b strings.Builder
	q := audit.Query{After: s.audited, Limit: 100, Asc: true}
	records, _, err := s.store.Records(s.t.Context(), chat.DefaultOwner, q)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range records {
		s.audited = r.ID
		full, err := s.store.Record(s.t.Context(), chat.DefaultOwner, r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprint(&b, full.Kind)
		for _, f := range [][2]string{
			{"actor", full.Actor},
			{"user", full.User},
			{"conversation", full.ConversationID},
			{"response", full.ResponseID},
			{"item", full.ItemID},
			{"attempt", strconv.Itoa(full.Attempt)},
			{"provider", full.Provider},
			{"model", full.Model},
			{"host", full.UpstreamHost},
			{"status", full.Status},
			{"http", strconv.Itoa(full.HTTPStatus)},
			{"error", full.ErrorCode},
			{"finish", full.FinishReason},
		} {
			if f[1] != "" && f[1] != "0" {
				fmt.Fprintf(&b, " %s=%s", f[0], f[1])
			}
		}
		b.WriteByte('\n')
		for _, p := range full.Payloads {
			if p.Stored {
				fmt.Fprintf(&b, "  %s: %s\n", p.Part, p.Text)
			} else {
				fmt.Fprintf(&b, "  %s of %d items\n", p.Part, p.Items)
			}
		}
	}
	return s.normal(b.String())
}

var (
	anID     = regexp.MustCompile(`\b(conv|msg|resp|fc|rs|aud|req)_[0-9a-z]{26}\b`)
	aTime    = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ`)
	aHash    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	aChain   = regexp.MustCompile(`("chain\\?": ?\\?")[^"\\]+`)
	aMillis  = regexp.MustCompile(`(_ms\\?": ?)\d+`)
	aCursor  = regexp.MustCompile(`"next": "[^"]+"`)
	aPlace   = regexp.MustCompile(`\$(conv|msg|resp|fc|rs|aud|req)\d+`)
	aMacro   = regexp.MustCompile(`\$(repeat|bytes)\{([^}]*)\}`)
	anEscape = strings.NewReplacer(`\n`, "\n", `\t`, "\t")
)

// normal replaces what differs from run to run.
func (s *story) normal(text string) string {
	text = anID.ReplaceAllStringFunc(text, func(id string) string {
		name, known := s.names[id]
		if !known {
			prefix, _, _ := strings.Cut(id, "_")
			s.counts[prefix]++
			name = fmt.Sprintf("$%s%d", prefix, s.counts[prefix])
			s.names[id], s.ids[name] = name, id
		}
		return name
	})
	text = aTime.ReplaceAllString(text, "$$time")
	text = aHash.ReplaceAllString(text, "$$hash")
	text = aChain.ReplaceAllString(text, "${1}$$chain")
	text = aCursor.ReplaceAllStringFunc(text, func(found string) string {
		s.ids["$next"] = strings.TrimSuffix(strings.TrimPrefix(found, `"next": "`), `"`)
		return `"next": "$next"`
	})
	return aMillis.ReplaceAllString(text, "${1}0")
}

// fill puts ids in the place of their names.
func (s *story) fill(text string) string {
	text = strings.ReplaceAll(text, "$next", cmp.Or(s.ids["$next"], "$next"))
	return aPlace.ReplaceAllStringFunc(text, func(name string) string {
		id, known := s.ids[name]
		if !known {
			s.t.Fatalf("%s has not been named by an answer", name)
		}
		return id
	})
}

// expand writes out $repeat{text,times} and $bytes{hexadecimal}.
func (s *story) expand(text string) string {
	return aMacro.ReplaceAllStringFunc(text, func(macro string) string {
		m := aMacro.FindStringSubmatch(macro)
		if m[1] == "bytes" {
			raw, err := hex.DecodeString(m[2])
			if err != nil {
				s.t.Fatal(err)
			}
			return string(raw)
		}
		what, count, _ := strings.Cut(m[2], ",")
		n, err := strconv.Atoi(count)
		if err != nil {
			s.t.Fatal(err)
		}
		return strings.Repeat(anEscape.Replace(what), n)
	})
}
