package mongotest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// message is one of the wire protocol, with its head: its length, its number, that of the one that it answers, and its kind.
type message []byte

const (
	headSize = 16
	// The kinds of message, and where the document of an answer stands in the old one.
	opReply   = 1
	opQuery   = 2004
	opMessage = 2013
	replyHead = headSize + 20
	// The longest that a server takes.
	maxMessage = 48_000_000
)

func (m message) id() int32   { return int32(binary.LittleEndian.Uint32(m[4:])) }  //nolint:gosec // it is one
func (m message) to() int32   { return int32(binary.LittleEndian.Uint32(m[8:])) }  //nolint:gosec // it is one
func (m message) kind() int32 { return int32(binary.LittleEndian.Uint32(m[12:])) } //nolint:gosec // it is one

func readMessage(r io.Reader) (message, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < headSize || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	m := make(message, size)
	copy(m, head)
	_, err := io.ReadFull(r, m[headSize:])
	return m, err
}

// command is the document that a request begins with.
func (m message) command() (bson.Raw, bool) {
	// Flags, and then sections, of which the first is the command.
	const at = headSize + 5
	if m.kind() != opMessage || len(m) < at || m[at-1] != 0 {
		return nil, false
	}
	return document(m[at:])
}

// upserts reports whether a request may make what it looks for.
func (m message) upserts() bool { return bytes.Contains(m, []byte("\x08upsert\x00\x01")) }

func document(b []byte) (bson.Raw, bool) {
	if len(b) < 5 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > len(b) {
		return nil, false
	}
	doc := bson.Raw(b[:n])
	return doc, doc.Validate() == nil
}

func firstKey(doc bson.Raw) string {
	if e, err := doc.IndexErr(0); err == nil {
		return e.Key()
	}
	return ""
}

// renamed is an answer in which the server goes by another address, where it says by which: clients would go there else.
func (m message) renamed(address string) message {
	at := headSize + 5
	if m.kind() == opReply {
		at = replyHead
	}
	if len(m) < at {
		return m
	}
	raw, ok := document(m[at:])
	if !ok || raw.Lookup("hosts").IsZero() || raw.Lookup("setName").IsZero() {
		return m
	}
	var doc bson.D
	if bson.Unmarshal(raw, &doc) != nil {
		return m
	}
	for i := range doc {
		switch doc[i].Key {
		case "hosts":
			doc[i].Value = bson.A{address}
		case "me", "primary":
			doc[i].Value = address
		}
	}
	changed, err := bson.Marshal(doc)
	if err != nil {
		return m
	}
	out := append(append(message{}, m[:at]...), changed...)
	binary.LittleEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // it is small
	return out
}

// newMessage is a request, or an answer to one.
func newMessage(id, to int32, what bson.D) message {
	doc, err := bson.Marshal(what)
	if err != nil {
		// It holds what is written in this file, or was read.
		panic(err)
	}
	m := make(message, headSize+5, headSize+5+len(doc))
	binary.LittleEndian.PutUint32(m, uint32(cap(m))) //nolint:gosec // it is small
	binary.LittleEndian.PutUint32(m[4:], uint32(id)) //nolint:gosec // bits
	binary.LittleEndian.PutUint32(m[8:], uint32(to)) //nolint:gosec // bits
	binary.LittleEndian.PutUint32(m[12:], opMessage)
	return append(m, doc...)
}

// forge is the answer that a command of a fate gets instead of the server's, or nil.
func forge(f Fate, number int32, name string, doc bson.Raw) message {
	switch f {
	case NotPrimary:
		return newMessage(0, number, failure(10107, "NotWritablePrimary", notPrimaryLabels(name, doc)...))
	case Conflict:
		return newMessage(0, number, failure(112, "WriteConflict", "TransientTransactionError"))
	case Unknown:
		return newMessage(0, number, failure(89, "NetworkTimeout", "UnknownTransactionCommitResult", "RetryableWriteError"))
	case Leaving:
		return newMessage(0, number, failure(91, "ShutdownInProgress", "UnknownTransactionCommitResult", "RetryableWriteError"))
	case Duplicate, DoneDuplicate:
		return newMessage(0, number, duplicate(name))
	default:
		return nil
	}
}

// notPrimaryLabels are those that a server gives which is no primary.
func notPrimaryLabels(name string, doc bson.Raw) []string {
	_, retryable := doc.Lookup("txnNumber").AsInt64OK()
	_, err := doc.LookupErr("autocommit")
	switch {
	case name == "commitTransaction", name == "abortTransaction", err != nil && retryable:
		return []string{"RetryableWriteError"}
	case err == nil:
		return []string{"TransientTransactionError"}
	default:
		return nil
	}
}

// failure is what a request is answered that failed.
func failure(code int, name string, labels ...string) bson.D {
	answer := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: name}, {Key: "code", Value: code}, {Key: "codeName", Value: name}}
	if len(labels) > 0 {
		answer = append(answer, bson.E{Key: "errorLabels", Value: labels})
	}
	return answer
}

// duplicate is the answer of a server that has a document with such an id already.
func duplicate(name string) bson.D {
	const code, text = 11000, "E11000 duplicate key error collection: a.b index: _id_ dup key: { _id: \"forged\" }"
	if name == "findAndModify" {
		return failure(code, "DuplicateKey")
	}
	refused := bson.D{{Key: "index", Value: 0}, {Key: "code", Value: code}, {Key: "errmsg", Value: text}}
	return bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: 0}, {Key: "writeErrors", Value: bson.A{refused}}}
}

// abortion is a request that ends the transaction which doc is of.
func abortion(id int32, doc bson.Raw) message {
	return newMessage(id, 0, bson.D{
		{Key: "abortTransaction", Value: 1},
		{Key: "lsid", Value: doc.Lookup("lsid")},
		{Key: "txnNumber", Value: doc.Lookup("txnNumber")},
		{Key: "autocommit", Value: false},
		{Key: "$db", Value: "admin"},
	})
}
