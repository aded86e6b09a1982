package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// schemaVersion rises with every change that an older program could not read. What is in a database of a newer one is left alone.
const schemaVersion = 1

// index is one that a collection has besides that of _id.
type index struct {
	keys []string // in order; all ascending
	// unique, sparse: as MongoDB means it. where restricts it to documents that have that field.
	unique, sparse bool
	where          string
}

// indexes are all there are. TestQueriesHaveIndexes holds what is asked against them.
var indexes = map[string][]index{
	"conversations": {
		{keys: []string{"o", "act"}},
		{keys: []string{"o", "user", "act"}, where: "user"},
		{keys: []string{"o", "model", "act"}, where: "model"},
		{keys: []string{"o", "meta", "act"}, where: "meta"},
		{keys: []string{"o", "terms"}, where: "terms"},
		{keys: []string{"k"}},
	},
	"items": {
		{keys: []string{"k", "seq"}},
		{keys: []string{"o", "terms", "k"}, where: "terms"},
	},
	"responses": {
		{keys: []string{"k", "fence"}},
		{keys: []string{"beat"}, sparse: true},
		{keys: []string{"cancel"}, sparse: true},
		{keys: []string{"log_until"}, sparse: true},
	},
	"events": {
		{keys: []string{"r", "n"}},
	},
	"audit": {
		{keys: []string{"key"}, unique: true},
		{keys: []string{"o", "pos"}},
		{keys: []string{"o", "c", "pos"}, where: "c"},
		{keys: []string{"o", "r", "pos"}, where: "r"},
		{keys: []string{"chain", "seq", "time"}, where: "chain"},
		{keys: []string{"unsealed"}, sparse: true},
	},
	"claims": {
		{keys: []string{"at"}},
	},
	"chains": {}, "purges": {}, "meta": {},
}

func (ix *index) model() driver.IndexModel {
	keys := bson.D{}
	for _, k := range ix.keys {
		keys = append(keys, bson.E{Key: k, Value: 1})
	}
	o := options.Index()
	if ix.unique {
		o.SetUnique(true)
	}
	if ix.sparse {
		o.SetSparse(true)
	}
	if ix.where != "" {
		o.SetPartialFilterExpression(bson.D{{Key: ix.where, Value: bson.D{{Key: "$exists", Value: true}}}})
	}
	return driver.IndexModel{Keys: keys, Options: o}
}

// What is kept of the database itself, one document each.
const (
	metaSchema      = "schema"
	metaInstance    = "instance"
	metaFingerprint = "key_fingerprint"
	metaEpoch       = "epoch"
)

type metaDoc struct {
	ID    string `bson:"_id"`
	Text  string `bson:"text,omitempty"`
	Bytes []byte `bson:"bytes,omitempty"`
	N     int64  `bson:"n,omitempty"`
}

var errOtherKey = errors.New("the database was made with another secret key: start with that key (PARLEY_SECRET_KEY, or the secret.key file " +
	"of the servers that use it already), or with another database")

// prepare makes what is missing in the database and refuses one that this program must not touch. Several processes may do so at one time.
func (s *Store) prepare(ctx context.Context) error {
	version, err := s.keep(ctx, metaDoc{ID: metaSchema, N: schemaVersion})
	if err != nil {
		return err
	}
	if version.N > schemaVersion {
		return fmt.Errorf("the database has schema %d, newer than this parley's %d: start a newer one", version.N, schemaVersion)
	}
	if _, err := s.keep(ctx, metaDoc{ID: metaEpoch}); err != nil {
		return err
	}
	if f := s.options.KeyFingerprint; len(f) > 0 {
		had, err := s.keep(ctx, metaDoc{ID: metaFingerprint, Bytes: f})
		if err != nil {
			return err
		}
		if !bytes.Equal(had.Bytes, f) {
			return errOtherKey
		}
	}
	for name, list := range indexes {
		if err := s.createIndexes(ctx, name, list); err != nil {
			return fmt.Errorf("making the indexes of %s: %w", name, err)
		}
	}
	return nil
}

const (
	codeNamespaceExists = 48
)

func (s *Store) createIndexes(ctx context.Context, name string, list []index) error {
	if err := s.db.CreateCollection(ctx, name); err != nil {
		if f, ok := errors.AsType[driver.CommandError](err); !ok || f.Code != codeNamespaceExists {
			return err
		}
	}
	if len(list) == 0 {
		return nil
	}
	models := make([]driver.IndexModel, len(list))
	for i := range list {
		models[i] = list[i].model()
	}
	_, err := s.db.Collection(name).Indexes().CreateMany(ctx, models)
	return err
}

// keep writes a document of the database itself unless one of its name is there, and returns the one that is.
func (s *Store) keep(ctx context.Context, doc metaDoc) (metaDoc, error) {
	if _, err := s.meta().InsertOne(ctx, doc); err != nil && !driver.IsDuplicateKeyError(err) {
		return metaDoc{}, err
	}
	var kept metaDoc
	err := s.meta().FindOne(ctx, byID(doc.ID)).Decode(&kept)
	return kept, err
}
