package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
)

// claimDoc is an idempotency key that was taken. Its _id is owner/route and the key.
type claimDoc struct {
	ID          string    `bson:"_id"`
	Route       string    `bson:"route"`
	Key         string    `bson:"key"`
	Fingerprint []byte    `bson:"fingerprint"`
	Resource    string    `bson:"resource"`
	At          time.Time `bson:"at"`
}

// A key holds visible characters alone, so that the line is where it begins.
func claimKey(owner, route, k string) string { return key(owner, route) + "\n" + k }

// errTaken: a claim that lives has the key.
var errTaken = errors.New("the idempotency key is taken")

// claim takes a key, first of all in its transaction, unless one that lives has it.
func (s *Store) claim(ctx context.Context, owner string, c *chat.Claim) error {
	id := claimKey(owner, c.Route, c.Key)
	over := append(byID(id), elem("at", bson.D{elem("$lte", kept(c.CreatedAt).Add(-chat.ClaimLife))}))
	set := bson.D{elem("route", c.Route), elem("key", c.Key), elem("fingerprint", c.Fingerprint[:]), elem("resource", c.ResourceID), elem("at", kept(c.CreatedAt))}
	_, err := s.claims().UpdateOne(ctx, over, bson.D{elem("$set", set)}, options.UpdateOne().SetUpsert(true))
	if driver.IsDuplicateKeyError(err) {
		return errors.Join(errTaken, err)
	}
	return err
}

// claimed is the answer to a change whose key is taken.
func (s *Store) claimed(ctx context.Context, owner string, c *chat.Claim, err error) error {
	earlier, found, lookErr := s.Claim(ctx, owner, c.Route, c.Key)
	switch {
	case lookErr != nil:
		return lookErr
	case !found:
		// It has been removed meanwhile, and the next try will have it.
		return unavailable(err)
	}
	return &chat.ClaimedError{Claim: earlier}
}

// Claim implements chat.Store.
func (s *Store) Claim(ctx context.Context, owner, route, key string) (chat.Claim, bool, error) {
	if ctx.Err() != nil {
		return chat.Claim{}, false, chat.GivenUp(ctx)
	}
	var d claimDoc
	err := s.claims().FindOne(ctx, byID(claimKey(owner, route, key))).Decode(&d)
	if missing(err) {
		return chat.Claim{}, false, nil
	}
	if err != nil {
		return chat.Claim{}, false, s.failed(ctx, err)
	}
	c := chat.Claim{Route: route, Key: key, ResourceID: d.Resource, CreatedAt: d.At}
	copy(c.Fingerprint[:], d.Fingerprint)
	return c, true, nil
}

// sweepRows is how many claims that have run out are removed at a time.
const sweepRows = 500

// sweepClaims removes what has run out by now.
func (s *Store) sweepClaims(ctx context.Context) error {
	over := bson.D{elem("at", bson.D{elem("$lte", s.options.Now().Add(-chat.ClaimLife))})}
	for {
		some, err := list[claimDoc](ctx, s.claims(), over, options.Find().SetLimit(sweepRows).SetProjection(bson.D{elem("_id", 1)}))
		if err != nil || len(some) == 0 {
			return err
		}
		ids := make([]string, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		// The condition again: one of them may have been taken anew meanwhile.
		if _, err := s.claims().DeleteMany(ctx, append(over[:1:1], elem("_id", bson.D{elem("$in", ids)}))); err != nil {
			return err
		}
	}
}
