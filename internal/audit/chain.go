package audit

import (
	"bytes"
	"crypto/sha256"
)

// Chain seals records one behind the other: each header carries the hash of the header before it in the same chain.
// A process has one chain from its start on. A Chain is not safe for concurrent use; the store's writer owns it.
type Chain struct {
	head Head
	// buf holds the byte that is hashed ahead of a header, then the header last sealed.
	buf []byte
}

// NewChain begins an empty chain. The name must never have been used before.
func NewChain(name string) *Chain { return ResumeChain(Head{Chain: name}) }

// ResumeChain goes on behind the head of a chain that exists, such as a dead one's that is to be sealed.
func ResumeChain(h Head) *Chain { return &Chain{head: h} }

// Name returns the name of the chain.
func (c *Chain) Name() string { return c.head.Chain }

// Head returns the last record's place and hash; Seq is 0 as long as there is none. Closed says that the last record
// closed the chain: nothing may be sealed behind it.
func (c *Chain) Head() Head { return c.head }

// Restore takes the head back to one that Head returned before, so that what was sealed since has never been: the
// transaction that was to hold it has failed.
func (c *Chain) Restore(h Head) { c.head = h }

// Seal makes r the next record of the chain. It sets Chain, Seq (from 1), PrevHash and Hash, and returns the header:
// exactly the bytes to be stored, which belong to the caller.
func (c *Chain) Seal(r *Record) []byte { return bytes.Clone(c.seal(r)) }

// AppendSeal is Seal with the header appended to dst.
func (c *Chain) AppendSeal(dst []byte, r *Record) []byte { return append(dst, c.seal(r)...) }

func (c *Chain) seal(r *Record) []byte {
	r.Chain, r.Seq, r.PrevHash = c.head.Chain, c.head.Seq+1, c.head.Hash
	c.buf = appendHeader(append(c.buf[:0], hashPrefix), r)
	r.Hash = sha256.Sum256(c.buf)
	c.head = Head{Chain: r.Chain, Seq: r.Seq, Hash: r.Hash, Closed: r.Kind.closes()}
	return c.buf[1:]
}

// closes reports whether a record of this kind is the last of its chain.
func (k Kind) closes() bool { return k == KindChainClosed || k == KindChainSealed }
