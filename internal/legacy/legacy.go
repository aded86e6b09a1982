// Package legacy imports what the Python service that came before has kept in MongoDB: its conversations and its audit log.
//
// It only reads there. What the service's installations do not agree on, such as the names of fields, is in fields.go. What is made of a document
// depends on nothing but the document, ids included, so an import may be broken off and run again.
package legacy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	// writers share the commits of the store: more of them, fewer commits.
	writers = 16
	// batch is how many documents are asked for at once, and how many audit records are written at once.
	batch = 100
	// patience is how long a server is looked for where the URI says nothing else.
	patience = 10 * time.Second
)

// Target is the part of the core that an import writes to.
type Target interface {
	ImportConversation(ctx context.Context, caller chat.Caller, c chat.Conversation, items []chat.Item) (bool, error)
	ImportCalls(ctx context.Context, caller chat.Caller, calls []chat.ImportedCall) (int, error)
}

// Options say what is imported, and how it is understood.
type Options struct {
	URI, Database string
	// Conversations and AuditLogs are the names of the collections.
	Conversations, AuditLogs string
	// Map has further names of fields and roles, each with the one that it stands for; see CheckMap.
	Map map[string]string
	// Target is nil for a dry run, which writes nothing.
	Target Target
	Caller chat.Caller
	Now    func() time.Time
	// Progress, if set, is told how many documents of a collection are done, of about how many. It is not called concurrently.
	Progress func(collection string, done, total int64)
}

// Run imports everything and reports it, also where it breaks off with an error.
func Run(ctx context.Context, o Options) (*Report, error) {
	client, err := mongo.Connect(options.Client().SetServerSelectionTimeout(patience).SetAppName("parley import").ApplyURI(o.URI))
	if err != nil {
		// What the driver says of a URI may hold a part of it, and that a password.
		return nil, errors.New("the URI is not one of a MongoDB: it is written mongodb://user:password@host:27017/?options")
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	im := &importer{Options: o, db: client.Database(o.Database), report: newReport()}
	im.converter = newConverter(&o, im.report.note)
	if err := im.find(ctx); err != nil {
		return nil, err
	}
	if err := im.conversations(ctx); err != nil {
		return im.report, err
	}
	return im.report, im.calls(ctx)
}

type importer struct {
	Options
	db        *mongo.Database
	converter *converter
	report    *Report
}

// find makes sure that there is something to import, and says what there is where there is not.
func (im *importer) find(ctx context.Context) error {
	there, err := im.db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("reading the database %s: %w", im.Database, err)
	}
	if slices.Contains(there, im.Conversations) || slices.Contains(there, im.AuditLogs) {
		return nil
	}
	if len(there) == 0 {
		return fmt.Errorf("there is no database %s, or nothing in it: name the service's by --database", im.Database)
	}
	slices.Sort(there)
	return fmt.Errorf("the database %s has neither a collection %s nor %s; it has: %s. Name them by --conversations and --audit-logs, or another --database",
		im.Database, im.Conversations, im.AuditLogs, strings.Join(there, ", "))
}

// conversations imports them, several at once.
func (im *importer) conversations(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	docs := make(chan bson.D)
	var workers sync.WaitGroup
	for range writers {
		workers.Go(func() {
			for doc := range docs {
				if err := im.importConversation(ctx, doc); err != nil {
					cancel(err)
				}
			}
		})
	}
	// The documents of Parley itself, where it keeps its own in the same database, have an owner.
	err := im.each(ctx, im.Conversations, bson.D{{Key: "o", Value: bson.D{{Key: "$exists", Value: false}}}}, func(doc bson.D) error {
		select {
		case docs <- doc:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(docs)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// importConversation fails where the next one would fail too. What is wrong with this one alone is reported.
func (im *importer) importConversation(ctx context.Context, doc bson.D) error {
	source, _ := value(doc, "_id")
	conv, items, err := im.converter.convert(doc)
	if err != nil {
		im.report.failed(&im.report.Conversations, im.Conversations, source, err)
		return nil
	}
	written := true
	if im.Target != nil {
		written, err = im.Target.ImportConversation(ctx, im.Caller, conv, items)
	}
	if err != nil && fault.Of(err).Kind != fault.Invalid && fault.Of(err).Kind != fault.TooLarge {
		return fmt.Errorf("writing: %w", err)
	}
	if err != nil {
		im.report.failed(&im.report.Conversations, im.Conversations, source, err)
		return nil
	}
	im.report.imported(written, len(items))
	return nil
}

// calls imports the audit log, in order, in batches.
func (im *importer) calls(ctx context.Context) error {
	var pending []chat.ImportedCall
	flush := func() error {
		written := len(pending)
		if im.Target != nil && written > 0 {
			var err error
			if written, err = im.Target.ImportCalls(ctx, im.Caller, pending); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
		}
		im.report.logged(written, len(pending))
		pending = pending[:0]
		return nil
	}
	err := im.each(ctx, im.AuditLogs, bson.D{}, func(doc bson.D) error {
		call, err := im.converter.importedCall(doc)
		if err != nil {
			source, _ := value(doc, "_id")
			im.report.failed(&im.report.AuditLogs, im.AuditLogs, source, err)
			return nil
		}
		if pending = append(pending, call); len(pending) < batch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// each calls do with all documents of a collection, in the order of their ids.
func (im *importer) each(ctx context.Context, collection string, filter bson.D, do func(bson.D) error) error {
	reading := func(err error) error { return fmt.Errorf("reading %s.%s: %w", im.Database, collection, err) }
	c := im.db.Collection(collection)
	total, err := c.EstimatedDocumentCount(ctx)
	if err != nil {
		return reading(err)
	}
	cursor, err := c.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(batch))
	if err != nil {
		return reading(err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for done := int64(1); cursor.Next(ctx); done++ {
		var doc bson.D
		if err := cursor.Decode(&doc); err != nil {
			return reading(err)
		}
		if err := do(doc); err != nil {
			return err
		}
		if im.Progress != nil {
			im.Progress(collection, done, total)
		}
	}
	if err := cursor.Err(); err != nil {
		return reading(err)
	}
	return nil
}
