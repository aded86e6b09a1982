// Package sqlite is the store in an embedded SQLite file: conversations and the audit log in one database, so that one
// transaction covers both.
//
// One goroutine writes, many callers' changes to a transaction; reading has connections of its own. The package knows
// nothing of HTTP and of models; what its methods promise is said at chat.Store and audit.Log.
package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

var (
	_ chat.Store = (*Store)(nil)
	_ audit.Log  = (*Store)(nil)
)

// Options say how to open a store. Only Path is required.
type Options struct {
	// Path is the database's file. It and its directory are made where they are missing.
	Path string
	// Readers is the number of connections that read, by default one for each processor, but 2 to 8.
	Readers int
	Log     *slog.Logger
	// Now and NewID serve the records that the store itself writes when it opens and closes.
	Now   func() time.Time
	NewID func(prefix string) string
	// KeyFingerprint is of the secret key that pseudonyms and signatures derive from. The database keeps the first one
	// and refuses to be opened with another. Empty skips the check.
	KeyFingerprint []byte
	// OnFatal is called, once and on its own goroutine, after an error that leaves it unknown what is on the disk. All
	// later writes fail; the process should end with an error and start anew.
	OnFatal func(error)
	// measure is diskSpace, but in tests.
	measure func(dir string) (free, total uint64, err error)
	// SearchTimeout bounds a list of conversations that is filtered or searched; by default two seconds.
	SearchTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Readers < 1 {
		o.Readers = min(max(runtime.GOMAXPROCS(0), 2), 8)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = chat.NewID(o.Now)
	}
	if o.SearchTimeout == 0 {
		o.SearchTimeout = searchTimeout
	}
	if o.measure == nil {
		o.measure = diskSpace
	}
	if o.OnFatal == nil {
		o.OnFatal = func(error) {}
	}
	return o
}

// Store is a chat.Store and an audit.Log. It is safe for concurrent use.
type Store struct {
	options Options
	lock    *os.File
	db      *conn
	wal     *wal
	readers *readers
	writer  *writer
	purger  *purger
	forks   *forks
	indexer *indexer
	sweeper *sweeper
	// searches has room for those that may run at a time, so that they leave readers to the others.
	searches chan struct{}
	// prefixPatience is that constant, but in tests.
	prefixPatience time.Duration
	check          *check
	space          *space
	// stop ends what runs in the background.
	stop      context.CancelFunc
	closing   sync.Once
	closeFail error
}

// Open opens the database, brings its schema up to date and begins this process's audit chain. It fails if another
// server has the database open, and if the database is of a newer version or of another key.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := checkSQLite(sqlite.VersionNumber); err != nil {
		return nil, err
	}
	var err error
	if o.Path, err = filepath.Abs(o.Path); err != nil {
		return nil, fmt.Errorf("finding the database: %w", err)
	}
	s := &Store{options: o}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	o := &s.options
	if s.lock, err = prepareFiles(o.Path, "stop that server, or give this one another data directory"); err != nil {
		return err
	}
	if s.db, err = openWriter(ctx, o.Path); err != nil {
		return err
	}
	if s.readers, err = openReaders(o.Path, o.Readers); err != nil {
		return err
	}
	if s.wal, err = openWAL(o.Path, s.readers); err != nil {
		return err
	}
	s.space = newSpace(o.Path, o.Log, o.measure)
	// Without room for it, prompts are refused and the store says why.
	_ = s.space.writable()
	s.writer = newWriter(s.db, &chain{Chain: audit.NewChain("")}, s.wal, s.space, o.Log, o.OnFatal)
	clean, indexed, err := s.begin()
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.purger = newPurger(s, o.Log)
	s.forks = newForks()
	s.searches = make(chan struct{}, max(o.Readers/2, 1))
	s.prefixPatience = prefixPatience
	s.indexer = newIndexer(s, o.Log, indexed)
	s.writer.changed = s.indexer.changed
	s.sweeper = &sweeper{store: s, log: o.Log, done: make(chan struct{})}
	s.check = startCheck(background, o.Path, o.Log, clean)
	go s.writer.loop()
	go s.purger.loop(background)
	go s.indexer.loop(background)
	go s.sweeper.loop(background)
	return nil
}

// openWriter opens the connection that writes and migrates the database.
func openWriter(ctx context.Context, path string) (*conn, error) {
	name := path
	if synchronous == "FULL" {
		var err error
		if name, err = gatheringURI(path); err != nil {
			return nil, fmt.Errorf("opening the database: %w", err)
		}
	}
	c, err := openConn(name, sqlite.OpenReadWrite|sqlite.OpenURI,
		"page_size = 8192", "journal_mode = WAL", "synchronous = "+synchronous, "secure_delete = ON", "wal_autocheckpoint = 0", "journal_size_limit = 67108864", "cache_size = -8000")
	if err != nil {
		return nil, explainDamage(err, path)
	}
	if err := upgrade(ctx, c, path); err != nil {
		return nil, errors.Join(explainDamage(err, path), c.Close())
	}
	return c, nil
}

// explainDamage says of a file that SQLite cannot read what its operator can do.
func explainDamage(err error, path string) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultNotADB, sqlite.ResultCorrupt:
		return fmt.Errorf("%s is damaged, or no database: restore a backup of it, or move it away with its -wal and -shm files to begin anew (%w)", path, err)
	default:
		return err
	}
}

func upgrade(ctx context.Context, c *conn, path string) error {
	version, err := c.schemaVersion()
	if err != nil {
		return err
	}
	newest, err := newestSchema()
	if err != nil {
		return err
	}
	if err := checkSchema(version, newest); err != nil || version == newest {
		return err
	}
	return migrate(ctx, path)
}

// begin is the first transaction: the key's fingerprint, what a crash has left of forks, what is known of the search index, and
// the start of the chain.
func (s *Store) begin() (clean, indexed bool, err error) {
	o := &s.options
	newKey, err := s.db.checkKey(o.KeyFingerprint)
	if err != nil {
		return false, false, err
	}
	// The writer's goroutine does not run yet, so this one may do its work.
	first := &op{vital: true, done: make(chan error, 1), run: func(t *tx) (err error) {
		if newKey {
			if err := t.write(t.prepare(insertMeta).text(metaFingerprint).blob(o.KeyFingerprint)); err != nil {
				return err
			}
		}
		if err := t.abandonForks(); err != nil {
			return err
		}
		if indexed, err = t.openIndex(); err != nil {
			return err
		}
		clean, err = t.start(o.Now, o.NewID)
		return err
	}}
	s.writer.commit([]*op{first})
	if err := <-first.done; err != nil {
		return false, false, fmt.Errorf("beginning the audit chain: %w", err)
	}
	return clean, indexed, nil
}

// checkKey compares the key's fingerprint with the one that the database keeps, and says whether there is none yet.
func (c *conn) checkKey(fingerprint []byte) (missing bool, err error) {
	if len(fingerprint) == 0 {
		return false, nil
	}
	kept, err := c.meta(metaFingerprint)
	if err != nil {
		return false, fmt.Errorf("reading the key's fingerprint: %w", err)
	}
	if kept != nil && !bytes.Equal(kept, fingerprint) {
		return false, errors.New("the database was made with another secret key: start with that key " +
			"(PARLEY_SECRET_KEY, or the secret.key file that lay beside the database), or with another data directory")
	}
	return kept == nil, nil
}

// Close finishes what was submitted, closes the audit chain and the database. It may be called again.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeFail = s.close() })
	return s.closeFail
}

func (s *Store) close() error {
	s.stop()
	<-s.purger.done
	<-s.check.done
	<-s.indexer.done
	<-s.sweeper.done
	closed := audit.Record{
		ID: s.options.NewID(chat.PrefixAudit), Time: kept(s.options.Now()), Kind: audit.KindChainClosed,
	}
	err := s.writer.submitLast(func(t *tx) error {
		if len(t.touched) == 0 && s.indexer.idle() {
			if err := t.write(t.prepare(setMeta).text(metaIndexed).blob([]byte{1})); err != nil {
				return err
			}
		}
		return t.sealOne(&closed)
	})
	if err != nil {
		err = fmt.Errorf("closing the audit chain: %w", err)
	}
	return errors.Join(err, s.release())
}

// release gives back whatever is held. The writer's connection is the last one to be closed: it leaves no log behind.
func (s *Store) release() error {
	var errs []error
	if s.forks != nil {
		s.forks.close()
	}
	if s.wal != nil {
		errs = append(errs, s.wal.close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Ready implements chat.Store.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.writer.err(); err != nil {
		return unavailable(err)
	}
	if err := s.check.finding(); err != nil {
		return unavailable(err)
	}
	if err := s.space.room(); err != nil {
		return err
	}
	return s.readers.read(ctx, func(c *conn) error {
		_, err := c.meta(metaInstance)
		return err
	})
}
