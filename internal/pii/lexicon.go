package pii

import "strings"

// hint is what a word says of a value beside it, or of the name that it is part of.
type hint uint32

const (
	hintPhone       hint = 1 << iota
	hintPhoneWeak        // often stands by a phone number, and by other things
	hintNumber           // "number": the word before it says of what
	hintCard             //
	hintBank             // an account, an IBAN
	hintSSN              //
	hintNRIC             //
	hintIP               //
	hintEmail            //
	hintPostal           // a postal code follows
	hintCity             // six digits behind it are a postal code
	hintAddress          // an address follows
	hintPlace            // an address may follow
	hintOther            // an order, a version, a date: what stands by it is not personal
	hintUnit             // counts or measures what stands before it
	hintFiller           // says nothing: the word before it counts
	hintStreet           // Street, Road: behind a name
	hintStreetWeak       // Park, View: behind a name, and often no street
	hintStreetFirst      // Jalan, Rue: before a name
	hintParticle         // de, la: lower-case inside a name
	hintCompass          // N, SW: behind a street
	hintDwelling         // Apt, Suite
	hintBlock            // Blk
	hintBox              // P.O. Box
	hintState            // of the United States
	hintSecret           // a password or a key by itself
	hintToken            // a token, a secret only if its value looks like one
	hintKey              // a secret behind one of hintKeyOf
	hintKeyOf            //
	hintPlain            // a word that is no secret's value
	hintMonth            // of a date

	hintPersonal = hintPhone | hintPhoneWeak | hintCard | hintBank | hintSSN | hintNRIC | hintIP | hintEmail | hintPostal |
		hintCity | hintAddress | hintPlace
)

const (
	lexiconSize = 2048 // a power of two, well above the number of words
	maxWord     = 16
)

type entry struct {
	word string
	hint hint
}

// lexicon is an open hash table of words; their case does not matter. Most words of a text are not in it, and a byte of
// their hash tells.
type lexicon struct {
	marks   [lexiconSize]uint8 // 0 where the place is free
	entries [lexiconSize]entry
}

var words = makeLexicon()

func makeLexicon() *lexicon {
	var l lexicon
	for _, list := range wordLists {
		for w := range strings.FieldsSeq(list.words) {
			l.add(w, list.hint)
		}
	}
	return &l
}

func (l *lexicon) add(w string, h hint) {
	i, mark := fold(w)
	for l.marks[i] != 0 && !sameFold(l.entries[i].word, w) {
		i = (i + 1) % lexiconSize
	}
	l.marks[i] = mark
	l.entries[i].word = w
	l.entries[i].hint |= h
}

// of returns what is known of a word, 0 if nothing.
func (l *lexicon) of(w string) hint {
	if w == "" || len(w) > maxWord {
		return 0
	}
	i, mark := fold(w)
	for ; l.marks[i] != 0; i = (i + 1) % lexiconSize {
		if l.marks[i] == mark && sameFold(l.entries[i].word, w) {
			return l.entries[i].hint
		}
	}
	return 0
}

// fold hashes a word without its case: its place in the table, and a mark that is not 0.
func fold(w string) (place uint32, mark uint8) {
	var h uint64
	switch n := len(w); {
	case n >= 8:
		h = eight(w[:8]) ^ eight(w[n-8:])*3
	case n >= 4:
		h = four(w[:4]) | four(w[n-4:])<<32
	default:
		h = uint64(w[0]|0x20) | uint64(w[n>>1]|0x20)<<8 | uint64(w[n-1]|0x20)<<16
	}
	h = (h + uint64(len(w))) * 0x9E3779B97F4A7C15
	return uint32(h>>40) % lexiconSize, uint8(h>>32&0xFF) | 1
}

func four(w string) uint64 {
	return (uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24) | 0x20202020
}

func eight(w string) uint64 { return four(w[:4]) | four(w[4:8])<<32 }

func sameFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}
