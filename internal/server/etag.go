package server

import (
	"strconv"
	"strings"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// etag is the entity tag of a version.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// precondition is what an If-Match or If-None-Match header asks for.
type precondition struct {
	given bool
	any   bool
	// versions that were named; a tag that is none of ours names none.
	versions []int64
}

// parsePrecondition reads a list of entity tags. A weak tag counts only where weak is true, as RFC 9110 has it for
// If-None-Match.
func parsePrecondition(header string, weak bool) precondition {
	if header == "" {
		return precondition{}
	}
	p := precondition{given: true}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			p.any = true
			continue
		}
		if weak {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			continue
		}
		if v, err := strconv.ParseInt(tag[1:len(tag)-1], 10, 64); err == nil && v > 0 {
			p.versions = append(p.versions, v)
		}
	}
	return p
}

// matches reports whether a version is among those named.
func (p precondition) matches(version int64) bool {
	if p.any {
		return true
	}
	for _, v := range p.versions {
		if v == version {
			return true
		}
	}
	return false
}

// noVersion is the version of nothing: as a precondition it never holds.
const noVersion = -1

// version is the precondition as the core takes it, where it names at most one version: 0 for any. Where it names
// several, current tells which of them it is.
func (p precondition) version(current func() (int64, error)) (int64, error) {
	switch {
	case !p.given || p.any:
		return 0, nil
	case len(p.versions) == 1:
		return p.versions[0], nil
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

func staleVersion() *fault.Error {
	return fault.New(fault.Precondition, chat.CodeVersionMismatch, "The version in If-Match is no longer the current one. Read it again and decide anew.")
}
