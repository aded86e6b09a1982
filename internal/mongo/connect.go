package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

const (
	defaultDatabase = "parley"
	// selectionTimeout is how long a server is looked for where the URI does not say.
	selectionTimeout = 5 * time.Second
	// operationTimeout bounds an operation, a transaction with all its repetitions included, where the URI does not say.
	operationTimeout = 20 * time.Second
	// minWireVersion is that of MongoDB 5.0.
	minWireVersion = 13
)

// connect makes a client and looks whether what it reaches can serve. The text of its errors names the host, never what else the URI holds.
func connect(ctx context.Context, o *Options) (*driver.Client, *driver.Database, error) {
	majority := writeconcern.Majority()
	journal := true
	majority.Journal = &journal
	opts := options.Client().ApplyURI(o.URI)
	if opts.Validate() != nil {
		return nil, nil, errors.New("the URI of MongoDB cannot be read: it should look like mongodb://host:27017/parley?replicaSet=rs0")
	}
	opts.SetAppName("parley").SetReadPreference(readpref.Primary()).SetRetryWrites(true).SetRetryReads(true).
		SetReadConcern(readconcern.Majority()).SetWriteConcern(majority)
	if opts.Timeout == nil {
		opts.SetTimeout(operationTimeout)
	}
	if opts.ServerSelectionTimeout == nil {
		opts.SetServerSelectionTimeout(selectionTimeout)
	}
	if o.monitor != nil {
		opts.SetMonitor(o.monitor)
	}
	client, err := driver.Connect(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to MongoDB at %s: the URI asks for what cannot be", host(o.URI))
	}
	if err := checkServer(ctx, client); err != nil {
		return nil, nil, errors.Join(explain(err, o.URI), disconnect(ctx, client))
	}
	return client, client.Database(cmp.Or(o.Database, database(o.URI), defaultDatabase)), nil
}

// database is the one that a URI names, or empty.
func database(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, name, _ := strings.Cut(rest, "/")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// errUnfit is why a server that answers cannot serve; its text is for the operator.
type errUnfit string

func (e errUnfit) Error() string { return string(e) }

const remedy = `Make it a replica set of one member: add to its configuration, or its command line,

    mongod --replSet rs0

restart it, and say once

    mongosh --eval 'rs.initiate()'`

// checkServer refuses what lacks transactions.
func checkServer(ctx context.Context, client *driver.Client) error {
	var hello helloDoc
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return err
	}
	return hello.fit()
}

// helloDoc is what a server says of itself.
type helloDoc struct {
	SetName        string `bson:"setName"`
	Msg            string `bson:"msg"`
	MaxWireVersion int    `bson:"maxWireVersion"`
}

func (hello *helloDoc) fit() error {
	switch {
	case hello.MaxWireVersion < minWireVersion:
		return errUnfit("the server is older than MongoDB 5.0, which Parley needs: upgrade it")
	case hello.SetName == "" && hello.Msg != "isdbgrid":
		return errUnfit("the server stands alone, and has no transactions then. " + remedy)
	}
	return nil
}

// explain says of a failure to connect where that was.
func explain(err error, uri string) error {
	if _, ok := errors.AsType[errUnfit](err); ok {
		return fmt.Errorf("MongoDB at %s: %w", host(uri), err)
	}
	if driver.IsNetworkError(err) || driver.IsTimeout(err) || errors.As(err, new(driver.ServerError)) || strings.Contains(err.Error(), "server selection error") {
		return fmt.Errorf("MongoDB at %s does not serve: is it running, and may this program log in? (%w)", host(uri), err)
	}
	return err
}

// host is the part of a URI that may be shown: its hosts.
func host(uri string) string {
	if u, err := url.Parse(uri); err == nil && u.Host != "" {
		return u.Host
	}
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	return rest
}
