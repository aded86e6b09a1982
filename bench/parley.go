package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startLimit bounds how long a server may take to become ready.
const startLimit = 30 * time.Second

// build makes the binary as `make build` does and returns its path.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "parley")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/parley")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("building ./cmd/parley: %w", err)
	}
	return binary, nil
}

// startParley runs the binary on an empty data directory of its own, with everything on that is on by default.
func (b *bench) startParley(ctx context.Context, settings ...string) (*process, error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	return b.startParleyOn(ctx, data, settings...)
}

func (b *bench) startParleyOn(ctx context.Context, data string, settings ...string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.binary)
	command.Dir = data // a .env of the working directory must not take part
	command.Env = append([]string{
		"PARLEY_ADDR=" + address,
		"PARLEY_DATA=" + data,
		"PARLEY_LOG_LEVEL=error",
		"OPENAI_BASE_URL=http://" + b.mock.address + "/v1",
		"OPENAI_MODEL=" + mockModel,
	}, settings...)
	command.SysProcAttr = childAttributes()
	p, err := launch("parley", command)
	if err != nil {
		return nil, err
	}
	p.address = address
	if err := waitReady(ctx, p, startLimit); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// newConversations creates n conversations with many connections and returns their ids.
func newConversations(ctx context.Context, address string, n int, body string) ([]string, error) {
	request := post("/api/conversations", body)
	return eachConversation(ctx, address, n, func(int) []byte { return request })
}

// eachConversation creates n conversations by the request that is made for each.
func eachConversation(ctx context.Context, address string, n int, request func(i int) []byte) ([]string, error) {
	ids := make([]string, n)
	err := inParallel(ctx, address, 16, n, func(c *client, i int) error {
		answer, err := c.do(request(i), nativeDialect)
		if err != nil {
			return err
		}
		if answer.status != http.StatusCreated {
			return fmt.Errorf("creating a conversation: status %d: %.300s", answer.status, answer.body)
		}
		ids[i], err = idOf(answer.body)
		return err
	})
	return ids, err
}

// idOf reads the id of the object in the body.
func idOf(body []byte) (string, error) {
	var object struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return "", fmt.Errorf("reading an id: %w", err)
	}
	if object.ID == "" {
		return "", fmt.Errorf("no id in %.300q", body)
	}
	return object.ID, nil
}

// longConversations are several of n messages each, written at the same time, so that they share commits.
func longConversations(ctx context.Context, address string, count, n int) ([]string, error) {
	ids, failures := make([]string, count), make([]error, count)
	var writers sync.WaitGroup
	for i := range ids {
		writers.Go(func() { ids[i], failures[i] = longConversation(ctx, address, n) })
	}
	writers.Wait()
	return ids, errors.Join(failures...)
}

// longConversation is one of n messages, questions and answers in turn.
func longConversation(ctx context.Context, address string, n int) (string, error) {
	const most = 1000 // what a conversation may be created with
	ids, err := newConversations(ctx, address, 1, `{"messages":[`+messages(min(n, most))+`]}`)
	if err != nil || n <= most {
		return strings.Join(ids, ""), err
	}
	path := "/api/conversations/" + ids[0] + "/messages"
	pair := [2][]byte{post(path, message(0)), post(path, message(1))}
	// One connection, because questions and answers alternate.
	err = inParallel(ctx, address, 1, n-most, func(c *client, i int) error {
		answer, err := c.do(pair[i%2], nativeDialect)
		if err == nil && answer.status != http.StatusCreated {
			err = fmt.Errorf("creating a message: status %d: %.300s", answer.status, answer.body)
		}
		return err
	})
	return ids[0], err
}

func messages(n int) string {
	var list bytes.Buffer
	for i := range n {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(message(i))
	}
	return list.String()
}

func message(i int) string {
	role, text := "user", "Why does the sea rise and fall twice a day, and why not at the same hour each time?"
	if i%2 == 1 {
		role, text = "assistant", "Because the moon pulls on the water while the earth turns below, and the moon moves on a little every day."
	}
	return `{"role":` + strconv.Quote(role) + `,"content":` + strconv.Quote(text) + `}`
}
