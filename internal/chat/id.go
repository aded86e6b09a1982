package chat

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// The prefixes of ids.
const (
	PrefixConversation = "conv_"
	PrefixMessage      = "msg_"
	PrefixFunctionCall = "fc_"
	PrefixReasoning    = "rs_"
	PrefixResponse     = "resp_"
	PrefixAudit        = "aud_"
	PrefixRequest      = "req_"
)

// idAlphabet is Crockford's base 32 in lower case: its digits sort like the values they stand for.
var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes ids for a Service: the prefix, 48 bits of milliseconds and 80 random bits, 26 characters in all. Ids of
// the same prefix sort by the millisecond they were made in.
func NewID(now func() time.Time) func(prefix string) string {
	return func(prefix string) string {
		var raw [16]byte
		binary.BigEndian.PutUint64(raw[:8], uint64(now().UnixMilli())<<16) // the upper 48 bits
		_, _ = rand.Read(raw[6:])                                          // documented never to fail
		return encodeID(prefix, &raw)
	}
}

// FixedID makes the id of what another program has kept: the same one for the same source. It sorts by a time among those that NewID makes.
func FixedID(prefix string, at time.Time, source string) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(max(0, at.UnixMilli()))<<16)
	sum := sha256.Sum256([]byte(source))
	copy(raw[6:], sum[:])
	return encodeID(prefix, &raw)
}

func encodeID(prefix string, raw *[16]byte) string {
	dst := make([]byte, 0, len(prefix)+26)
	return string(idAlphabet.AppendEncode(append(dst, prefix...), raw[:]))
}
