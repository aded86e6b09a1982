// Package mongotest is for tests that need a MongoDB: it gives each a database of its own on the server that PARLEY_TEST_MONGODB_URI names.
package mongotest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Env is the environment variable that names the server to test on.
const Env = "PARLEY_TEST_MONGODB_URI"

// Need skips a test where there is no server to run it on: uri is empty.
func Need(t testing.TB, uri string) {
	t.Helper()
	if uri == "" {
		t.Skip("no MongoDB to test on: `make test-mongodb` runs this test on a double, and " + Env + " names a server")
	}
}

// Database is the name of a database of the server at uri that nobody has used and that is dropped when the test ends. It needs the server.
func Database(t testing.TB, uri string) string {
	t.Helper()
	Need(t, uri)
	name := "parley_test_" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := drop(ctx, uri, name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func drop(ctx context.Context, uri, name string) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	return client.Database(name).Drop(ctx)
}
