package mongotest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Fate is what a Proxy does with a command.
type Fate int

// The fates of a command.
const (
	// Passed: it is carried out and answered.
	Passed Fate = iota
	// Lost: its connection breaks before the server has it.
	Lost
	// Unanswered: the server carries it out, and the connection breaks instead of the answer.
	Unanswered
	// Held: the server carries it out, and the answer does not come.
	Held
	// Late: the answer comes after a moment.
	Late
	// NotPrimary: it is refused by a server that is no longer, or not yet, the primary.
	NotPrimary
	// Conflict: it is refused, and its transaction is over, because another one writes what it reads. What is no transaction's passes.
	Conflict
	// Unknown: the server carries it out, and says that it does not know whether it has. What is no commit passes.
	Unknown
	// Dead: from it on nothing passes any more, and nobody can connect.
	Dead
)

func (f Fate) String() string {
	return [...]string{"passed", "lost", "unanswered", "held", "late", "not primary", "a conflict", "unknown", "dead"}[f]
}

// moment is how late the answer is of a command that is Late.
const moment = 30 * time.Millisecond

// Command is one that a client has sent, of those that are not about the connection itself.
type Command struct {
	// N counts them, from 1.
	N    int
	Name string
	// Collection is the one that it is about, if any.
	Collection string
	// InTransaction: it is of one. Those that end it are, too. Session is what that goes on in, of which there is one at a time.
	InTransaction bool
	Session       string
}

func (c Command) String() string { return fmt.Sprintf("%d %s %s", c.N, c.Name, c.Collection) }

// Proxy stands between clients and a server, and is one of a replica set as far as they can see. It knows the protocol well enough to tell commands
// apart, and does with each as it is told. It is for a server that one address names, without TLS.
type Proxy struct {
	uri             *url.URL
	server, address string
	listener        net.Listener

	mu    sync.Mutex
	n     int
	dead  bool
	fate  func(Command) Fate
	fired map[Fate]int
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// NewProxy stands before the server at uri until the test ends. All passes until it is told otherwise.
func NewProxy(t testing.TB, uri string) *Proxy {
	t.Helper()
	if uri == "" {
		t.Skip("no MongoDB to test on")
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mongodb" || strings.Contains(u.Host, ",") || u.Query().Get("tls") == "true" {
		t.Skip("the proxy is for one server without TLS, which " + Env + " does not name")
	}
	p := &Proxy{server: u.Host, fate: func(Command) Fate { return Passed }, fired: map[Fate]int{}, conns: map[net.Conn]bool{}}
	if p.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.address = p.listener.Addr().String()
	u.Host = p.address
	p.uri = u
	p.done.Go(p.serve)
	t.Cleanup(func() {
		p.Kill()
		p.done.Wait()
	})
	return p
}

// URI is the server's, by the proxy. Options, such as "timeoutMS=500", take the place of those that it has.
func (p *Proxy) URI(options ...string) string {
	u := *p.uri
	q := u.Query()
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Have has it do with each command from now on, counted from 1 again, as fate says, which is called for one at a time.
func (p *Proxy) Have(fate func(Command) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.fate = 0, fate
}

// Pass has everything pass from now on.
func (p *Proxy) Pass() { p.Have(func(Command) Fate { return Passed }) }

// Commands is how many there were since Have was called.
func (p *Proxy) Commands() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Fired is how many commands have had a fate, since the proxy was made.
func (p *Proxy) Fired(f Fate) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired[f]
}

// Kill breaks all connections and lets nobody connect any more.
func (p *Proxy) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill()
}

func (p *Proxy) kill() {
	p.dead = true
	_ = p.listener.Close()
	for c := range p.conns {
		_ = c.Close()
	}
}

// keep notes a connection; false where the proxy is dead.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = c.Close()
	delete(p.conns, c)
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.connect(client) })
	}
}

// connect serves one client's connection until either side closes it.
func (p *Proxy) connect(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", p.server)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	l := &link{proxy: p, client: client, server: server, fates: map[int32]Fate{}}
	var answers sync.WaitGroup
	answers.Go(l.answers)
	l.commands()
	_, _ = client.Close(), server.Close()
	answers.Wait()
}

// decide is the fate of a command.
func (p *Proxy) decide(name string, doc bson.Raw) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return Dead
	}
	p.n++
	c := Command{N: p.n, Name: name}
	c.Collection, _ = doc.Index(0).Value().StringValueOK()
	_, err := doc.LookupErr("autocommit")
	c.InTransaction = err == nil
	if id, ok := doc.Lookup("lsid").DocumentOK(); ok {
		c.Session = string(id)
	}
	f := p.fate(c)
	if f == Conflict && !c.InTransaction || f == Unknown && name != "commitTransaction" {
		f = Passed
	}
	p.fired[f]++
	if f == Dead {
		p.kill()
	}
	return f
}

// link is a connection of a client with that to the server which belongs to it.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu sync.Mutex
	// fates are those of the commands whose answers are still to come, by their numbers.
	fates map[int32]Fate
	// writing is held while something is written to the client.
	writing sync.Mutex
}

// ownBusiness are commands by which drivers look after their connections.
var ownBusiness = map[string]bool{"hello": true, "isMaster": true, "ismaster": true, "ping": true, "endSessions": true, "saslStart": true, "saslContinue": true, "killCursors": true}

func (l *link) commands() {
	for {
		m, err := readMessage(l.client)
		if err != nil {
			return
		}
		doc, ok := m.command()
		if name := firstKey(doc); ok && !ownBusiness[name] {
			f := l.proxy.decide(name, doc)
			switch f {
			case Lost, Dead:
				return
			case NotPrimary:
				if l.refuse(&m, name, doc) != nil {
					return
				}
				continue
			case Conflict:
				if m, err = abortion(m.id(), doc); err != nil {
					return
				}
			default:
			}
			l.mu.Lock()
			l.fates[m.id()] = f
			l.mu.Unlock()
		}
		if _, err := l.server.Write(m); err != nil {
			return
		}
	}
}

// answers carries answers back.
func (l *link) answers() {
	defer func() { _, _ = l.client.Close(), l.server.Close() }()
	for {
		m, err := readMessage(l.server)
		if err != nil {
			return
		}
		l.mu.Lock()
		f := l.fates[m.to()]
		delete(l.fates, m.to())
		l.mu.Unlock()
		switch f {
		case Unanswered:
			return
		case Held:
			// The client gives up on it, and on its connection.
			continue
		case Late:
			time.Sleep(moment)
		case Conflict:
			if m, err = failure(m.to(), 112, "WriteConflict", "TransientTransactionError"); err != nil {
				return
			}
		case Unknown:
			if m, err = failure(m.to(), 89, "NetworkTimeout", "UnknownTransactionCommitResult", "RetryableWriteError"); err != nil {
				return
			}
		default:
		}
		if l.write(m.renamed(l.proxy.address)) != nil {
			return
		}
	}
}

func (l *link) write(m message) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	_, err := l.client.Write(m)
	return err
}

// refuse answers as a server that is no primary, with the labels that such a server gives.
func (l *link) refuse(m *message, name string, doc bson.Raw) error {
	_, retryable := doc.Lookup("txnNumber").AsInt64OK()
	_, err := doc.LookupErr("autocommit")
	var labels []string
	switch {
	case name == "commitTransaction", name == "abortTransaction", err != nil && retryable:
		labels = []string{"RetryableWriteError"}
	case err == nil:
		labels = []string{"TransientTransactionError"}
	}
	answer, err := failure(m.id(), 10107, "NotWritablePrimary", labels...)
	if err != nil {
		return err
	}
	return l.write(answer)
}

// failure is an answer to a request that failed.
func failure(to int32, code int, name string, labels ...string) (message, error) {
	answer := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: name}, {Key: "code", Value: code}, {Key: "codeName", Value: name}}
	if len(labels) > 0 {
		answer = append(answer, bson.E{Key: "errorLabels", Value: labels})
	}
	raw, err := bson.Marshal(answer)
	return newMessage(0, to, raw), err
}

// abortion is a request that ends the transaction which doc is of.
func abortion(id int32, doc bson.Raw) (message, error) {
	raw, err := bson.Marshal(bson.D{
		{Key: "abortTransaction", Value: 1},
		{Key: "lsid", Value: doc.Lookup("lsid")},
		{Key: "txnNumber", Value: doc.Lookup("txnNumber")},
		{Key: "autocommit", Value: false},
		{Key: "$db", Value: "admin"},
	})
	return newMessage(id, 0, raw), err
}

// message is one of the wire protocol, with its head: its length, its number, that of the one that it answers, and its kind.
type message []byte

const (
	headSize = 16
	// The kinds of message, and where the document of an answer stands in the old one.
	opReply   = 1
	opQuery   = 2004
	opMessage = 2013
	replyHead = headSize + 20
	// The longest that a server takes.
	maxMessage = 48_000_000
)

func (m message) id() int32   { return int32(binary.LittleEndian.Uint32(m[4:])) }  //nolint:gosec // it is one
func (m message) to() int32   { return int32(binary.LittleEndian.Uint32(m[8:])) }  //nolint:gosec // it is one
func (m message) kind() int32 { return int32(binary.LittleEndian.Uint32(m[12:])) } //nolint:gosec // it is one

func readMessage(r io.Reader) (message, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < headSize || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	m := make(message, size)
	copy(m, head)
	_, err := io.ReadFull(r, m[headSize:])
	return m, err
}

// command is the document that a request begins with.
func (m message) command() (bson.Raw, bool) {
	// Flags, and then sections, of which the first is the command.
	const at = headSize + 5
	if m.kind() != opMessage || len(m) < at || m[at-1] != 0 {
		return nil, false
	}
	return document(m[at:])
}

func document(b []byte) (bson.Raw, bool) {
	if len(b) < 5 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > len(b) {
		return nil, false
	}
	doc := bson.Raw(b[:n])
	return doc, doc.Validate() == nil
}

func firstKey(doc bson.Raw) string {
	if e, err := doc.IndexErr(0); err == nil {
		return e.Key()
	}
	return ""
}

// renamed is an answer in which the server goes by another address, where it says by which: clients would go there else.
func (m message) renamed(address string) message {
	at := headSize + 5
	if m.kind() == opReply {
		at = replyHead
	}
	if len(m) < at {
		return m
	}
	raw, ok := document(m[at:])
	if !ok || raw.Lookup("hosts").IsZero() || raw.Lookup("setName").IsZero() {
		return m
	}
	var doc bson.D
	if bson.Unmarshal(raw, &doc) != nil {
		return m
	}
	for i := range doc {
		switch doc[i].Key {
		case "hosts":
			doc[i].Value = bson.A{address}
		case "me", "primary":
			doc[i].Value = address
		}
	}
	changed, err := bson.Marshal(doc)
	if err != nil {
		return m
	}
	out := append(append(message{}, m[:at]...), changed...)
	binary.LittleEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // it is small
	return out
}

// newMessage is a request, or an answer to one.
func newMessage(id, to int32, doc bson.Raw) message {
	m := make(message, headSize+5, headSize+5+len(doc))
	binary.LittleEndian.PutUint32(m, uint32(cap(m))) //nolint:gosec // it is small
	binary.LittleEndian.PutUint32(m[4:], uint32(id)) //nolint:gosec // bits
	binary.LittleEndian.PutUint32(m[8:], uint32(to)) //nolint:gosec // bits
	binary.LittleEndian.PutUint32(m[12:], opMessage)
	return append(m, doc...)
}
