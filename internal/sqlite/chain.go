package sqlite

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

const (
	selectMeta = `SELECT value FROM meta WHERE name = ?`
	insertMeta = `INSERT INTO meta (name, value) VALUES (?, ?)`

	selectLastChain = `SELECT epoch, name FROM chains ORDER BY epoch DESC LIMIT 1`
	insertChain     = `INSERT INTO chains (epoch, name) VALUES (?, ?)`
	selectHead      = `SELECT pos, kind, hash FROM audit WHERE pos > ? AND pos < ? ORDER BY pos DESC LIMIT 1`
)

const (
	metaInstance    = "instance"
	metaFingerprint = "key_fingerprint"
)

func (c *conn) meta(name string) ([]byte, error) {
	q := c.prepare(selectMeta).text(name)
	found, err := q.next()
	if err != nil || !found {
		return nil, err
	}
	defer q.reset()
	return q.getRaw(&arena{}), nil
}

// lastChain returns the head of the newest chain and its epoch, which is 0 where there is none yet.
func (c *conn) lastChain() (head audit.Head, epoch int64, err error) {
	q := c.prepare(selectLastChain)
	found, err := q.next()
	if err != nil || !found {
		return head, 0, err
	}
	a := &arena{}
	epoch, head.Chain = q.getInt(), q.getText(a)
	q.reset()

	q = c.prepare(selectHead).int(epoch << recordBits).int((epoch + 1) << recordBits)
	found, err = q.next()
	if err != nil || !found {
		return head, epoch, err
	}
	defer q.reset()
	head.Seq = q.getInt() & (1<<recordBits - 1)
	kind := audit.Kind(q.getText(a))
	head.Closed = kind == audit.KindChainClosed || kind == audit.KindChainSealed
	copy(head.Hash[:], q.getRaw(a))
	return head, epoch, nil
}

// start begins this process's chain. It seals the chain of a process that died, and names the head of the one before in
// its first record; that one has named its predecessor, and so on to the first. It reports whether the last process
// stopped cleanly.
func (t *tx) start(now func() time.Time, newID func(string) string) (clean bool, err error) {
	instance, err := t.instance()
	if err != nil {
		return false, err
	}
	head, epoch, err := t.lastChain()
	if err != nil {
		return false, err
	}
	record := func(kind audit.Kind, heads ...audit.Head) *audit.Record {
		return &audit.Record{ID: newID(chat.PrefixAudit), Time: kept(now()), Kind: kind, Heads: heads}
	}
	clean = epoch == 0 || head.Closed
	if !clean {
		dead := &chain{audit.ResumeChain(head), epoch}
		if err := t.sealInto(dead, record(audit.KindChainSealed, head)); err != nil {
			return false, fmt.Errorf("sealing the last chain: %w", err)
		}
		head = dead.Head()
	}
	epoch++
	*t.chain = chain{audit.NewChain(instance + "/" + strconv.FormatInt(epoch, 10)), epoch}
	if err := t.write(t.prepare(insertChain).int(epoch).text(t.chain.Name())); err != nil {
		return false, err
	}
	started := record(audit.KindServerStarted)
	if head.Chain != "" {
		started.Heads = []audit.Head{head}
	}
	if err := t.sealOne(started); err != nil {
		return false, err
	}
	return clean, nil
}

// instance is the random name that this database got when it was made.
func (t *tx) instance() (string, error) {
	kept, err := t.meta(metaInstance)
	if err != nil || kept != nil {
		return string(kept), err
	}
	name := strings.ToLower(rand.Text())
	return name, t.write(t.prepare(insertMeta).text(metaInstance).blob([]byte(name)))
}
