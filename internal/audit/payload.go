package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"unicode/utf8"
)

const saltSize = 32

// NewPayload makes a payload whose text is kept. The text must be masked and cut. Bytes in it that are not valid UTF-8
// are replaced, so that every store and every export can give back exactly what was committed to.
func NewPayload(part, text string) Payload {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	salt := newSalt()
	return Payload{
		Part: part, Chars: utf8.RuneCountInString(text), Stored: true,
		Text: text, Salt: salt, Commitment: commit(salt, part, []byte(text)),
	}
}

// NewCommitment makes a payload of data that is not kept: whoever has the data and the salt can show that this is what
// the record speaks of. Chars is the length of data in bytes; items is how many items it stands for.
func NewCommitment(part string, items int, data []byte) Payload {
	salt := newSalt()
	return Payload{Part: part, Items: items, Chars: len(data), Salt: salt, Commitment: commit(salt, part, data)}
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // crypto/rand.Read never fails: it ends the program first
	return salt
}

// commit returns HMAC-SHA-256(salt, part || data). Without the salt it tells nothing of the data.
func commit(salt []byte, part string, data []byte) (sum [32]byte) {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(part))
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}
