package mongo

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/mongotest"
)

const secret = "s3cr3t-passw0rd"

func TestADatabaseThatIsAwayAtStartIsNamedWithoutItsPassword(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"mongodb://parley:" + secret + "@" + addr + "/chats?serverSelectionTimeoutMS=300&replicaSet=rs0",
		"mongodb://parley:" + secret + "@" + addr + "/?serverSelectionTimeoutMS=300&authSource=admin&directConnection=true",
	} {
		start := time.Now()
		_, err := Open(t.Context(), Options{URI: uri})
		if err == nil || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), secret) || time.Since(start) > 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	}
	for _, uri := range []string{"mongodb://parley:" + secret + "@h/?replicaSet=", "mongodb://u:" + secret + "@a,b/?directConnection=true", "mongodb://u:%zz" + secret + "@h"} {
		if _, err := Open(t.Context(), Options{URI: uri}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestADatabaseOfAnotherKeyIsRefused(t *testing.T) {
	s := openAt(t, Options{KeyFingerprint: []byte("one")})
	again, err := Open(t.Context(), Options{URI: os.Getenv(mongotest.Env), Database: s.database, KeyFingerprint: []byte("two")})
	if !errors.Is(err, errOtherKey) {
		t.Errorf("opened with another key: %v, %v", again, err)
	}
}

func TestADatabaseOfANewerSchemaIsRefused(t *testing.T) {
	s := openAt(t, Options{})
	if _, err := s.meta().UpdateOne(t.Context(), byID(metaSchema), advanced().with("n", schemaVersion+1).update()[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{URI: os.Getenv(mongotest.Env), Database: s.database}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("opened: %v", err)
	}
}

func TestOnlyTheHostsOfAURIAreShown(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://h:27017/x": "h:27017", "mongodb://u:" + secret + "@a:1,b:2/x?y=z": "a:1,b:2", "mongodb+srv://u:" + secret + "@cluster.test": "cluster.test",
	} {
		if got := host(uri); got != want {
			t.Errorf("%s", got)
		}
	}
	for uri, want := range map[string]string{"mongodb://h": "", "mongodb://h/": "", "mongodb://a,b/chats?x=/y": "chats", "mongodb+srv://h/my%2Ddb": "my-db"} {
		if got := database(uri); got != want {
			t.Errorf("%s: %q", uri, got)
		}
	}
}

func TestAServerWithoutTransactionsIsRefusedWithTheRemedy(t *testing.T) {
	for _, c := range []struct {
		hello helloDoc
		want  []string
	}{
		{helloDoc{SetName: "rs0", MaxWireVersion: 13}, nil},
		{helloDoc{Msg: "isdbgrid", MaxWireVersion: 25}, nil},
		{helloDoc{MaxWireVersion: 25}, []string{"stands alone", "mongod --replSet rs0", "mongosh --eval 'rs.initiate()'"}},
		{helloDoc{SetName: "rs0", MaxWireVersion: 9}, []string{"older than MongoDB 5.0"}},
	} {
		err := c.hello.fit()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%+v: %v", c.hello, err)
			continue
		}
		for _, part := range c.want {
			if got := explain(err, "mongodb://u:"+secret+"@db.test:1/x").Error(); !strings.Contains(got, part) || !strings.Contains(got, "db.test:1") || strings.Contains(got, secret) {
				t.Errorf("%+v: %v", c.hello, got)
			}
		}
	}
}
