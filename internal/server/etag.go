package server

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// etag is the entity tag of a version.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// joinPreconditions makes one list of a precondition that comes in several lines, and makes one that is there but empty name
// nothing: left alone, it would look like none.
func joinPreconditions(h http.Header) {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if lines := h[name]; len(lines) > 0 {
			h.Set(name, cmp.Or(strings.Join(lines, ","), ","))
		}
	}
}

// precondition is what an If-Match or If-None-Match header asks for.
type precondition struct {
	given bool
	any   bool
	// tags that were named, quotes included, as RFC 9110 compares them: byte for byte.
	tags []string
}

// parsePrecondition reads "*" or a list of entity tags. A weak tag counts only where weak is true, as RFC 9110 has it for
// If-None-Match. What is neither names nothing, and nothing behind it is read.
func parsePrecondition(header string, weak bool) precondition {
	if header == "" {
		return precondition{}
	}
	p := precondition{given: true, any: header == "*"}
	for rest := header; ; {
		rest = strings.TrimLeft(rest, ", \t")
		strong, isWeak := strings.CutPrefix(rest, "W/")
		tag := entityTag(strong)
		if tag == "" {
			return p
		}
		if weak || !isWeak {
			p.tags = append(p.tags, tag)
		}
		rest = strings.TrimLeft(strong[len(tag):], " \t")
		if rest != "" && rest[0] != ',' {
			return p
		}
	}
}

// entityTag is the quoted tag that a text begins with, or empty. A comma may stand in it, a quote or a space may not.
func entityTag(text string) string {
	if text == "" || text[0] != '"' {
		return ""
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[:i+1]
		case c <= ' ' || c == 0x7f:
			return ""
		}
	}
	return ""
}

// matches reports whether a version is among those named.
func (p precondition) matches(version int64) bool {
	return p.any || slices.Contains(p.tags, etag(version))
}

// noVersion is the version of nothing: as a precondition it never holds.
const noVersion = -1

// version is the precondition as the core takes it, where it names at most one version: 0 for any. Where it names
// several, current tells which of them it is.
func (p precondition) version(current func() (int64, error)) (int64, error) {
	switch {
	case !p.given || p.any:
		return 0, nil
	case len(p.tags) == 1:
		return versionOf(p.tags[0]), nil
	}
	v, err := current()
	if err != nil {
		return 0, err
	}
	if !p.matches(v) {
		return noVersion, nil
	}
	return v, nil
}

// versionOf is the version that has a tag.
func versionOf(tag string) int64 {
	if v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64); err == nil && v > 0 && etag(v) == tag {
		return v
	}
	return noVersion
}

func staleVersion() *fault.Error {
	return fault.New(fault.Precondition, chat.CodeVersionMismatch, "The version in If-Match is no longer the current one. Read it again and decide anew.")
}
