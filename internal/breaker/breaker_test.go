package breaker

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// try makes one attempt and reports whether it was let through.
func try(s *Set, model string, verdicts ...chat.Verdict) bool {
	done, granted := s.Allow("p", model)
	if granted {
		for _, v := range verdicts {
			done(v)
		}
	}
	return granted
}

func times(n int, v chat.Verdict) []chat.Verdict { return slices.Repeat([]chat.Verdict{v}, n) }

func TestItOpensAfterTenFailuresInARow(t *testing.T) {
	for _, tc := range []struct {
		name     string
		verdicts []chat.Verdict
		open     bool
	}{
		{"nine", times(9, chat.Failing), false},
		{"ten", times(10, chat.Failing), true},
		{"with a success between", slices.Concat(times(9, chat.Failing), times(1, chat.Working), times(9, chat.Failing)), false},
		{"with what says nothing between", slices.Concat(times(9, chat.Failing), times(20, chat.Inconclusive), times(1, chat.Failing)), true},
		{"what says nothing", times(100, chat.Inconclusive), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Set{}
			for i, v := range tc.verdicts {
				if !try(s, "m", v) {
					t.Fatalf("attempt %d is refused", i)
				}
			}
			if granted := try(s, "m", chat.Inconclusive); granted == tc.open {
				t.Errorf("granted: %v", granted)
			}
			if wait := s.Wait("p", "m"); (wait > 0) != tc.open {
				t.Errorf("to wait: %v", wait)
			}
			if !try(s, "other", chat.Working) || s.Wait("p", "other") != 0 {
				t.Error("another model is held back")
			}
			if done, granted := s.Allow("q", "m"); !granted {
				t.Error("the same name at another provider is held back")
			} else {
				done(chat.Working)
			}
		})
	}
}

func TestAnAnswerThatHasOnlyBegunDoesNotResetTheCount(t *testing.T) {
	s := &Set{}
	for range failures {
		try(s, "m", chat.Answering, chat.Failing)
	}
	if try(s, "m", chat.Inconclusive) {
		t.Error("ten answers that broke off leave it closed")
	}
}

// opened is a set whose model m has failed often enough, and what was told of it.
func opened(t *testing.T) (*Set, *[]bool) {
	t.Helper()
	told := &[]bool{}
	s := &Set{OnChange: func(provider string, open bool) {
		if provider != "p" {
			t.Errorf("provider %q", provider)
		}
		*told = append(*told, open)
	}}
	for range failures {
		try(s, "m", chat.Failing)
	}
	return s, told
}

func TestOneTrialIsLetThroughAfterTenSeconds(t *testing.T) {
	for _, tc := range []struct {
		name     string
		verdicts []chat.Verdict
		closed   bool
		told     []bool
	}{
		{"that goes well", []chat.Verdict{chat.Working}, true, []bool{true, false}},
		{"that begins to answer", []chat.Verdict{chat.Answering}, true, []bool{true, false}},
		{"that begins to answer, and breaks off", []chat.Verdict{chat.Answering, chat.Failing}, true, []bool{true, false}},
		{"that fails", []chat.Verdict{chat.Failing}, false, []bool{true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, told := opened(t)
				if wait := s.Wait("p", "m"); wait != openFor {
					t.Errorf("to wait: %v", wait)
				}
				time.Sleep(openFor - time.Millisecond)
				if try(s, "m", chat.Working) || s.Wait("p", "m") != trialFor {
					t.Errorf("let through too early; to wait: %v", s.Wait("p", "m"))
				}
				time.Sleep(2 * time.Millisecond)
				if wait := s.Wait("p", "m"); wait != 0 {
					t.Errorf("the trial is due, and to wait: %v", wait)
				}
				done, granted := s.Allow("p", "m")
				if !granted {
					t.Fatal("no trial")
				}
				if try(s, "m", chat.Working) || s.Wait("p", "m") != trialFor {
					t.Errorf("a second trial beside the first; to wait: %v", s.Wait("p", "m"))
				}
				for _, v := range tc.verdicts {
					done(v)
				}
				if granted := try(s, "m", chat.Inconclusive); granted != tc.closed {
					t.Errorf("after it, granted: %v", granted)
				}
				if wait := s.Wait("p", "m"); (wait == 0) != tc.closed || !tc.closed && wait != openFor {
					t.Errorf("after it, to wait: %v", wait)
				}
				if !slices.Equal(*told, tc.told) {
					t.Errorf("told %v", *told)
				}
			})
		})
	}
}

func TestATrialThatSaysNothingMakesRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := opened(t)
		time.Sleep(openFor + time.Millisecond)
		for range 3 {
			if wait := s.Wait("p", "m"); wait != 0 || !try(s, "m", chat.Inconclusive) {
				t.Errorf("no trial; to wait: %v", wait)
			}
		}
		try(s, "m", chat.Working)
		if !try(s, "m", chat.Working) {
			t.Error("it stays open after a trial that went well")
		}
	})
}

func TestWhatBeganBeforeItOpenedSaysNothingAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Set{}
		var slow []func(chat.Verdict)
		for range failures + 5 {
			done, _ := s.Allow("p", "m")
			slow = append(slow, done)
		}
		for _, done := range slow[:failures] {
			done(chat.Failing)
		}
		slow[failures](chat.Working)
		if try(s, "m", chat.Working) {
			t.Error("a late success has closed it")
		}
		time.Sleep(openFor + time.Millisecond)
		trial, _ := s.Allow("p", "m")
		slow[failures+1](chat.Failing)
		trial(chat.Working)
		slow[failures+2](chat.Failing)
		if !try(s, "m", chat.Working) {
			t.Error("a late failure has opened it again")
		}
	})
}

func TestOnlySoManyModelsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, told := opened(t)
		for i := range maxModels - 1 {
			time.Sleep(time.Microsecond)
			try(s, fmt.Sprint(i), chat.Failing)
		}
		if try(s, "m", chat.Working) || len(s.models) != maxModels {
			t.Errorf("%d models", len(s.models))
		}
		for i := range maxModels {
			time.Sleep(time.Microsecond)
			try(s, "new "+fmt.Sprint(i), chat.Failing)
		}
		if len(s.models) != maxModels || !slices.Equal(*told, []bool{true, false}) {
			t.Errorf("%d models, told %v", len(s.models), *told)
		}
	})
}
