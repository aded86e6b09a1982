// Package mongo is the store on MongoDB, which several processes may share: a replica set or a sharded cluster, of version 5.0 or
// newer.
//
// What it keeps is one document each, under an id that can be told beforehand, and every change is one transaction. How documents
// look, which indexes there are and what each transaction reads, writes and is fenced by is told in docs/mongodb.md. The package knows nothing of
// HTTP and of models; what its methods promise is said at chat.Store, chat.Shared and audit.Log.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

var (
	_ chat.Store  = (*Store)(nil)
	_ chat.Shared = (*Store)(nil)
	_ audit.Log   = (*Store)(nil)
)

// LeaseTerm is how long a process that gives no sign of life is waited for. Each measures it on its own clock, from when it has
// itself seen the last sign; no two clocks are compared.
const LeaseTerm = 30 * time.Second

// Options say how to open a store. Only URI is required.
type Options struct {
	// URI is a connection string of MongoDB. Database is taken before the one that its path names; without both it is "parley".
	URI      string
	Database string
	Log      *slog.Logger
	// Now and NewID serve the records that the store itself writes.
	Now   func() time.Time
	NewID func(prefix string) string
	// KeyFingerprint is of the secret key that pseudonyms and signatures derive from. The database keeps the first one
	// and refuses to be opened with another. Empty skips the check.
	KeyFingerprint []byte
	// SearchTimeout bounds a list of conversations that is filtered or searched; by default two seconds.
	SearchTimeout time.Duration

	// Elapsed is the monotonic clock that leases are measured with; by default the process's own, as it is everywhere but in tests.
	Elapsed func() time.Duration

	monitor *event.CommandMonitor
}

func (o Options) withDefaults() Options {
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
	if o.Elapsed == nil {
		start := time.Now()
		o.Elapsed = func() time.Duration { return time.Since(start) }
	}
	return o
}

// Store is a chat.Store, a chat.Shared and an audit.Log. It is safe for concurrent use.
type Store struct {
	options Options
	client  *driver.Client
	db      *driver.Database
	// holder names this process among those that share the database.
	holder string
	held   held
	stamps stamps
	// watched are the signs of life of the responses that other processes make.
	watched watch
	sealer  *sealer
	purger  *purger
	copying copies
	expiry  *expiry
	// forks has room for those that may run at a time, searches likewise.
	forks, searches chan struct{}

	// stop ends what runs in the background.
	stop       context.CancelFunc
	background sync.WaitGroup
	closing    sync.Once
	closeFail  error
}

// How many forks, and searches, one process has run at a time.
const (
	maxForks    = 2
	maxSearches = 8
)

// Open connects, refuses a server that cannot serve, makes the indexes that are missing and begins this process's audit chain.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	client, db, err := connect(ctx, &o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		options: o, client: client, db: db, holder: newKey(),
		held: held{runs: map[string]*run{}}, copying: copies{keys: map[string]bool{}}, watched: newWatch(o.Elapsed),
		forks: make(chan struct{}, maxForks), searches: make(chan struct{}, maxSearches),
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(explain(err, o.URI), disconnect(ctx, client))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.sealer = newSealer(s)
	if err := s.sealer.begin(ctx); err != nil {
		return fmt.Errorf("beginning the audit chain: %w", err)
	}
	s.purger = newPurger(s)
	s.expiry = &expiry{store: s}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	for _, loop := range []func(context.Context){s.sealer.loop, s.sealer.tendLoop, s.purger.loop, s.expiry.loop} {
		s.background.Go(func() { loop(background) })
	}
	return nil
}

// closePatience bounds how long a store that is closed waits for a database that does not answer.
const closePatience = 5 * time.Second

// Close seals what is not yet, closes the audit chain and disconnects. It may be called again.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.background.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		var err error
		if err = s.sealer.close(ctx); err != nil {
			err = fmt.Errorf("closing the audit chain: %w", err)
		}
		s.closeFail = errors.Join(err, disconnect(ctx, s.client))
	})
	return s.closeFail
}

func disconnect(ctx context.Context, client *driver.Client) error {
	if err := client.Disconnect(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("disconnecting from MongoDB: %w", err)
	}
	return nil
}

// readyTimeout bounds how long Ready waits for an answer.
const readyTimeout = 2 * time.Second

// Ready implements chat.Store.
func (s *Store) Ready(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.client.Ping(limited, readpref.Primary()); err != nil {
		return s.failed(ctx, err)
	}
	if err := s.sealer.err(); err != nil {
		return unavailable(fmt.Errorf("sealing audit records: %w", err))
	}
	return nil
}

// Collections.
func (s *Store) conversations() collection { return collection{s.db.Collection("conversations")} }
func (s *Store) items() collection         { return collection{s.db.Collection("items")} }
func (s *Store) responses() collection     { return collection{s.db.Collection("responses")} }
func (s *Store) events() collection        { return collection{s.db.Collection("events")} }
func (s *Store) audit() collection         { return collection{s.db.Collection("audit")} }
func (s *Store) chains() collection        { return collection{s.db.Collection("chains")} }
func (s *Store) purges() collection        { return collection{s.db.Collection("purges")} }
func (s *Store) claims() collection        { return collection{s.db.Collection("claims")} }
func (s *Store) meta() collection          { return collection{s.db.Collection("meta")} }

// byID is the filter for one document.
func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }
