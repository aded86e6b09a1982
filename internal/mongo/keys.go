package mongo

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var ownerEscaper = strings.NewReplacer("%", "%25", "/", "%2F")

// key is the _id of what an owner calls by an id: owner/id. An owner's name has no slash then.
func key(owner, id string) string { return ownerEscaper.Replace(owner) + "/" + id }

// newKey is a random name that nothing has had: the key of a conversation's items, or a process.
func newKey() string { return strings.ToLower(rand.Text()[:20]) }

// newAge is later, in the order of texts, than any that this process has made before, and than those that others made seconds ago.
func newAge() string { return bson.NewObjectID().Hex() }

// itemKey is an item's _id: ids are unique in their conversation, whose key is k.
func itemKey(k, id string) string { return k + "/" + id }

// batchKey is the _id of a batch of an event log; response is that response's _id.
func batchKey(response string, number int) string { return response + "/" + strconv.Itoa(number) }

// sortable is a number as a text, in the order of numbers.
func sortable(n int64) string {
	const sign = 1 << 63
	return fmt.Sprintf("%016x", uint64(n)^sign) //nolint:gosec // all 64 bits are kept
}

// activity is a place in a list by time and then age.
func activity(at time.Time, age string) string { return sortable(at.UnixMilli()) + age }

// kept is a time as it will be read back.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// ceilMilli is the first millisecond that is not before t.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
