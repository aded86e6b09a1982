package server

import (
	"net/http"
	"testing"
)

func TestPreconditionsCompareEntityTagsByteForByte(t *testing.T) {
	for _, test := range []struct {
		header string
		// strong is whether an If-Match holds for version 1, weak whether an If-None-Match does.
		strong, weak bool
	}{
		{`"1"`, true, true},
		{`"01"`, false, false},
		{`"+1"`, false, false},
		{`"1 "`, false, false},
		{`""`, false, false},
		{`"2"`, false, false},
		{`"9223372036854775808"`, false, false},
		{`1`, false, false},
		{`'1'`, false, false},
		{`"1`, false, false},
		{`"`, false, false},
		{`W/"1"`, false, true},
		{`w/"1"`, false, false},
		{`W/1`, false, false},
		{`W/"01"`, false, false},
		{`*`, true, true},
		{`"*"`, false, false},
		{`*, "1"`, false, false},
		{`"1", *`, true, true},
		{`"2", "1"`, true, true},
		{`"2","1"`, true, true},
		{`"2" ,	"1"`, true, true},
		{`, "2",, "1",`, true, true},
		{`"2", W/"1"`, false, true},
		{`W/"2", "1"`, true, true},
		{`"a,b", "1"`, true, true},
		{`"2,"1""`, false, false},
		{`"2" "1"`, false, false},
		{`,`, false, false},
	} {
		if got := parsePrecondition(test.header, false); !got.given || got.matches(1) != test.strong {
			t.Errorf("If-Match: %s: %+v, want %v", test.header, got, test.strong)
		}
		if got := parsePrecondition(test.header, true); !got.given || got.matches(1) != test.weak {
			t.Errorf("If-None-Match: %s: %+v, want %v", test.header, got, test.weak)
		}
		// The core is told the same: 0 is any version.
		got, err := parsePrecondition(test.header, false).version(func() (int64, error) { return 1, nil })
		if holds := got == 0 || got == 1; err != nil || holds != test.strong {
			t.Errorf("If-Match: %s: version %d, %v; want %v", test.header, got, err, test.strong)
		}
	}
	if p := parsePrecondition("", false); p.given || p.matches(1) {
		t.Errorf("none: %+v", p)
	}
}

func TestPreconditionsInSeveralLinesAreOneList(t *testing.T) {
	h := http.Header{"If-Match": {`"2"`, `"1"`}, "If-None-Match": {""}}
	joinPreconditions(h)
	if p := parsePrecondition(h.Get("If-Match"), false); !p.matches(1) || !p.matches(2) {
		t.Errorf("%+v", p)
	}
	if p := parsePrecondition(h.Get("If-None-Match"), true); !p.given || p.matches(1) {
		t.Errorf("an empty one: %+v", p)
	}
}
