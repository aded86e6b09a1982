package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// tampering changes a log and says how, or returns "" where this log has nothing for it to change.
type tampering func(r *rand.Rand, rows []*Row) ([]*Row, string)

// lastChain is where the newest chain begins.
func lastChain(rows []*Row) int {
	last := rows[len(rows)-1].Chain
	return slices.IndexFunc(rows, func(r *Row) bool { return r.Chain == last })
}

func flip(r *rand.Rand, b []byte) { b[r.IntN(len(b))] ^= 1 << r.IntN(8) }

// keptPayload picks a text that is kept, at random.
func keptPayload(r *rand.Rand, rows []*Row) *StoredPayload {
	var all []*StoredPayload
	for _, row := range rows {
		for i := range row.Payloads {
			if row.Payloads[i].Text != nil {
				all = append(all, &row.Payloads[i])
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[r.IntN(len(all))]
}

var tamperings = []tampering{
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		i := r.IntN(len(rows))
		flip(r, rows[i].Header)
		return rows, fmt.Sprint("a bit of header ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		i := r.IntN(len(rows))
		flip(r, rows[i].Hash)
		return rows, fmt.Sprint("a bit of hash ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// The header is changed and its hash made to fit; only with the last of all records nothing could show that.
		i := r.IntN(len(rows) - 1)
		flip(r, rows[i].Header)
		hash := HashHeader(rows[i].Header)
		rows[i].Hash = hash[:]
		return rows, fmt.Sprint("a bit of header with its hash ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		p := keptPayload(r, rows)
		if p == nil {
			return nil, ""
		}
		text := []byte(*p.Text)
		flip(r, text)
		*p.Text = string(text)
		return rows, "a bit of a text"
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		p := keptPayload(r, rows)
		if p == nil {
			return nil, ""
		}
		switch r.IntN(3) {
		case 0:
			flip(r, p.Salt)
			return rows, "a bit of a salt"
		case 1:
			p.Salt = nil
			return rows, "a salt erased"
		default:
			p.Text = nil
			return rows, "a text erased"
		}
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// Something put where a store keeps payloads: with any record, those without a payload too.
		i, text := r.IntN(len(rows)), "a canary"
		switch row := rows[i]; r.IntN(2) {
		case 0:
			row.Payloads = append(row.Payloads, StoredPayload{Part: PartError, Text: &text, Salt: []byte("salt")})
		default:
			row.Payloads = append(row.Payloads, StoredPayload{})
		}
		return rows, fmt.Sprint("something beside the payloads of ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		a, b := keptPayload(r, rows), keptPayload(r, rows)
		if a == nil || string(a.Salt) == string(b.Salt) { // a retry sends the same text again
			return nil, ""
		}
		*a, *b = *b, *a
		return rows, "two texts swapped, with their salts"
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		i, column := r.IntN(len(rows)), r.IntN(9)
		row := rows[i]
		switch column {
		case 0:
			row.ID += "x"
		case 1:
			row.Chain += "x"
		case 2:
			row.Seq += 1 + r.Int64N(9)
		case 3:
			row.Time = row.Time.Add(time.Duration(1+r.IntN(1e6)) * time.Millisecond)
		case 4:
			row.Kind += "x"
		case 5:
			row.Owner += "x"
		case 6:
			row.ConversationID += "x"
		case 7:
			row.ResponseID += "x"
		default:
			row.Attempt++
		}
		return rows, fmt.Sprintf("column %d of %d", column, i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// The last of all records stays: that the end was cut off nothing could show.
		from := r.IntN(len(rows) - 1)
		to := from + 1 + r.IntN(min(5, len(rows)-1-from))
		return slices.Delete(rows, from, to), fmt.Sprintf("%d to %d deleted", from, to)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		from, to := r.IntN(len(rows)), r.IntN(len(rows)+1)
		return slices.Insert(rows, to, rows[from].clone()), fmt.Sprintf("%d again ahead of %d", from, to)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// A record of one's own, well sealed behind a true one, where another stands already.
		i := r.IntN(len(rows))
		forged, _ := reseal(rows[i], headBefore(rows, i), forgeOwner)
		return slices.Insert(rows, i+r.IntN(2), forged), fmt.Sprint("a forged record beside ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		i, j := r.IntN(len(rows)), r.IntN(len(rows))
		if i == j {
			return nil, ""
		}
		rows[i], rows[j] = rows[j], rows[i]
		return rows, fmt.Sprintf("%d and %d swapped", i, j)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// The contents are swapped and the columns stay.
		i, j := r.IntN(len(rows)), r.IntN(len(rows))
		if i == j {
			return nil, ""
		}
		a, b := rows[i], rows[j]
		a.Header, b.Header, a.Hash, b.Hash, a.Payloads, b.Payloads = b.Header, a.Header, b.Hash, a.Hash, b.Payloads, a.Payloads
		return rows, fmt.Sprintf("contents of %d and %d swapped", i, j)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		// A piece of the log put in another place.
		from := r.IntN(len(rows) - 1)
		to := from + 1 + r.IntN(len(rows)-1-from)
		piece, rest := slices.Clone(rows[from:to]), slices.Delete(slices.Clone(rows), from, to)
		into := r.IntN(len(rest) + 1)
		moved := slices.Insert(rest, into, piece...)
		if wholeChains(moved) {
			return nil, ""
		}
		return moved, fmt.Sprintf("%d to %d moved to %d", from, to, into)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		end := lastChain(rows)
		if end == 0 {
			return nil, ""
		}
		i := r.IntN(end)
		rehash(rows, i, forgeOwner)
		return rows, fmt.Sprint("forged and sealed anew from ", i)
	},
	func(r *rand.Rand, rows []*Row) ([]*Row, string) {
		end := lastChain(rows)
		if end == 0 {
			return nil, ""
		}
		// A record taken out and the rest of its chain sealed anew, so that no number is missing.
		i := r.IntN(end)
		chain, head := rows[i].Chain, headBefore(rows, i)
		rows = slices.Delete(rows, i, i+1)
		for ; i < len(rows) && rows[i].Chain == chain; i++ {
			rows[i], head = reseal(rows[i], head, func(*Record) {})
		}
		return rows, fmt.Sprint("one taken out and sealed anew from ", i)
	},
}

// wholeChains reports whether the rows are nothing but a log's chains, maybe in another order.
func wholeChains(rows []*Row) bool {
	ended := map[string]bool{}
	for i, r := range rows {
		switch {
		case i > 0 && rows[i-1].Chain == r.Chain:
			if r.Seq != rows[i-1].Seq+1 {
				return false
			}
		case r.Seq != 1 || ended[r.Chain]:
			return false
		}
		ended[r.Chain] = true
	}
	return true
}

func TestEveryTamperingIsFound(t *testing.T) {
	r := newRand(t)
	done := make([]int, len(tamperings))
	var log []*Row
	for n := 0; n < *rounds*2000; {
		if n%20 == 0 {
			for log = nil; len(log) < 3; {
				log = honestLog(r).rows()
			}
		}
		kind := r.IntN(len(tamperings))
		tampered, how := tamperings[kind](r, cloneRows(log))
		if how == "" {
			continue
		}
		if rep := verify(tampered); rep.OK {
			t.Fatalf("not found in a log of %d: %s", len(log), how)
		}
		done[kind]++
		n++
	}
	for kind, n := range done {
		if n == 0 {
			t.Errorf("tampering %d never happened", kind)
		}
	}
}
