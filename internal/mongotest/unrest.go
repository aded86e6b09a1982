package mongotest

// Unrest is a fate for each command by which every transaction is done over: it is refused for a conflict at one of its statements, again at its commit,
// when its body has run to its end, and then it takes effect with an outcome that is not known. Of transactions that their client gives up
// only the statement is refused, or nothing.
func Unrest() func(Command) Fate {
	trials := map[string]*trial{}
	begun := 0
	return func(c Command) Fate {
		if !c.InTransaction {
			return Passed
		}
		t := trials[c.Session]
		if t == nil {
			// One after the other is refused at another statement.
			t = &trial{refuse: 1 + begun%4}
			begun++
			trials[c.Session] = t
		}
		f := t.meets(c.Name)
		if t.over {
			delete(trials, c.Session)
		}
		return f
	}
}

// trial is how far the unrest of one transaction has come.
type trial struct {
	// refuse is the number of the statement that is refused, statements how many there were until then.
	refuse, statements int
	// refused counts the conflicts. aborting: the client is still to give up what the last one has ended.
	refused  int
	aborting bool
	unknown  bool
	over     bool
}

func (t *trial) meets(command string) Fate {
	switch {
	case command == "abortTransaction":
		t.over, t.aborting = !t.aborting, false
	case command != "commitTransaction" && t.refused == 0:
		if t.statements++; t.statements == t.refuse {
			t.refused, t.aborting = 1, true
			return Conflict
		}
	case command == "commitTransaction" && t.refused < 2:
		t.refused = 2
		return Conflict
	case command == "commitTransaction" && !t.unknown:
		t.unknown = true
		return Unknown
	case command == "commitTransaction":
		t.over = true
	}
	return Passed
}
