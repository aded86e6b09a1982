package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/mongo"
)

// MongoDB is a database that instances share. What is read of its documents is told in docs/mongodb.md.
type MongoDB struct {
	uri string
	db  *driver.Database
}

// NewMongoDB names a database at a URI. The caller must Close it.
func NewMongoDB(uri, name string) (*MongoDB, error) {
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, err
	}
	return &MongoDB{uri: uri, db: client.Database(name)}, nil
}

// Close disconnects.
func (m *MongoDB) Close(ctx context.Context) error { return m.db.Client().Disconnect(ctx) }

// Collection is one of the database's, for a test that looks or breaks something itself.
func (m *MongoDB) Collection(name string) *driver.Collection { return m.db.Collection(name) }

// Verify implements Database.
func (m *MongoDB) Verify(ctx context.Context) (report audit.Report, unsealed int64, err error) {
	log, err := mongo.OpenLog(ctx, mongo.Options{URI: m.uri, Database: m.db.Name()})
	if err != nil {
		return audit.Report{}, 0, err
	}
	report, unsealed, err = log.Verify(ctx, nil)
	return report, unsealed, errors.Join(err, log.Close(ctx))
}

// Settled reports whether no response runs, no instance that is gone has left an audit record unsealed, and nothing is left to be removed.
func (m *MongoDB) Settled(ctx context.Context) (bool, error) {
	for name, filter := range map[string]bson.D{
		"responses": {{Key: "beat", Value: bson.D{{Key: "$exists", Value: true}}}},
		"audit":     {{Key: "unsealed", Value: bson.D{{Key: "$exists", Value: true}}}},
		"purges":    {},
	} {
		if n, err := m.Collection(name).CountDocuments(ctx, filter); n > 0 || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Read implements Database.
func (m *MongoDB) Read(ctx context.Context) (*Contents, error) {
	session, err := m.db.Client().StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return nil, err
	}
	defer session.EndSession(ctx)
	c := &Contents{Leaving: map[string]bool{}, Coming: map[string]bool{}}
	ctx = driver.NewSessionContext(ctx, session)
	return c, errors.Join(
		documents(ctx, m.Collection("conversations"), c.conversation),
		documents(ctx, m.Collection("items"), c.item),
		documents(ctx, m.Collection("responses"), c.response),
		documents(ctx, m.Collection("audit"), c.attempt),
		documents(ctx, m.Collection("purges"), c.purge),
		documents(ctx, m.Collection("events"), c.batch),
	)
}

func (c *Contents) conversation(d *struct {
	K, ID       string
	Next, Count int64
	Fork        bson.Raw
	Active      *struct{ ID string }
},
) {
	stored := StoredConversation{Key: d.K, ID: d.ID, NextSeq: d.Next, Count: d.Count, Forked: d.Fork != nil}
	if d.Active != nil {
		stored.Lock = d.Active.ID
	}
	c.Conversations = append(c.Conversations, stored)
}

func (c *Contents) item(d *struct {
	K, ID, Role, Response string
	Seq                   int64
	Content               []byte
	Out                   int
},
) {
	const superseded = 2
	stored := StoredItem{Conversation: d.K, ID: d.ID, Seq: d.Seq, Response: d.Response, Message: d.Out < superseded}
	if d.Role == "user" {
		stored.Question = contentText(d.Content)
	}
	c.Items = append(c.Items, stored)
}

func (c *Contents) response(d *struct {
	K, ID, Status  string
	Kind, Attempts int
	Beat           *int64
},
) {
	const aside = 2
	stored := StoredResponse{Conversation: d.K, ID: d.ID, Status: d.Status, Turn: d.Kind < aside, Attempts: d.Attempts}
	if stored.running() != (d.Beat != nil) {
		c.Unsound = append(c.Unsound, fmt.Sprintf("response %s is %s, and has its lease all the same or none", d.ID, d.Status))
	}
	c.Responses = append(c.Responses, stored)
}

func (c *Contents) attempt(d *struct {
	Kind    string
	R       string
	Attempt int
	Header  []byte
	Time    time.Time
},
) {
	if kind := audit.Kind(d.Kind); kind == audit.KindIntent || kind == audit.KindOutcome {
		c.Attempts = append(c.Attempts, StoredAttempt{Response: d.R, Attempt: d.Attempt, Kind: kind, Status: statusOf(d.Header), Time: d.Time})
	}
}

func (c *Contents) purge(d *struct {
	K    string `bson:"_id"`
	Fork bool
},
) {
	if d.Fork {
		c.Coming[d.K] = true
	} else {
		c.Leaving[d.K] = true
	}
}

// batch is one of an event log, which belongs to a response.
func (c *Contents) batch(d *struct{ R string }) {
	_, id, _ := bytes.Cut([]byte(d.R), []byte("/"))
	for i := range c.Responses {
		if c.Responses[i].ID == string(id) {
			return
		}
	}
	c.Unsound = append(c.Unsound, "a batch of events is of "+d.R+", which is not there")
}

// documents hands over all of a collection.
func documents[T any](ctx context.Context, c *driver.Collection, take func(*T)) error {
	const batch = 200
	cursor, err := c.Find(ctx, bson.D{}, options.Find().SetBatchSize(batch))
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.Name(), err)
	}
	var all []T
	if err := cursor.All(ctx, &all); err != nil {
		return fmt.Errorf("reading %s: %w", c.Name(), err)
	}
	for i := range all {
		take(&all[i])
	}
	return nil
}

func (m *MongoDB) intent(ctx context.Context, question string) string {
	var item struct{ O, Response string }
	// A text is kept as it came, and all clients write it alike.
	asked := bson.D{{Key: "content", Value: []byte(api.Text(question))}, {Key: "response", Value: bson.D{{Key: "$exists", Value: true}}}}
	if err := m.Collection("items").FindOne(ctx, asked).Decode(&item); err != nil {
		return missing(err, noQuestion)
	}
	var response struct{ Attempts int }
	id := item.O + "/" + item.Response
	if err := m.Collection("responses").FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&response); err != nil {
		return missing(err, noQuestion)
	}
	key := fmt.Sprintf("%s/%d/%s", id, response.Attempts, audit.KindIntent)
	if err := m.Collection("audit").FindOne(ctx, bson.D{{Key: "key", Value: key}}).Err(); err != nil {
		return missing(err, noIntent)
	}
	return ""
}

// missing is a code for what is not there, and else why it cannot be told.
func missing(err error, code string) string {
	if errors.Is(err, driver.ErrNoDocuments) {
		return code
	}
	return err.Error()
}
