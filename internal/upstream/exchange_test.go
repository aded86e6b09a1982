package upstream

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
)

func TestABodyThatIsSentAgainIsWhole(t *testing.T) {
	x := &Exchange{ctx: t.Context(), asked: []byte("hello")}
	req := x.request(http.MethodPost, &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, nil)
	first, err := io.ReadAll(req.Body)
	if err != nil || string(first) != "hello" || req.Body.Close() != nil {
		t.Errorf("%q, %v", first, err)
	}
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := req.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after its end: %d, %v", n, err)
	}
	if second, err := io.ReadAll(again); err != nil || string(second) != "hello" {
		t.Errorf("%q, %v", second, err)
	}
}
