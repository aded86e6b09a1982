package mongotest

import (
	"context"
	"fmt"
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
	// Conflict: it is refused, and its transaction is over, because another one writes what it reads. What is no transaction's passes, and so does a
	// commit that was asked for before, which may have taken effect.
	Conflict
	// Unknown: the server carries it out, and says that it does not know whether it has. What is no commit passes.
	Unknown
	// Duplicate: it is not carried out, and refused as one that makes a document which is there already. What makes none passes.
	Duplicate
	// DoneDuplicate: the server carries it out, and it is refused like that all the same: as one that is sent again to a server which has it and does
	// not remember from whom.
	DoneDuplicate
	// Leaving is Unknown by a server that shuts down, so that its clients give up all connections to it.
	Leaving
	// Dead: from it on nothing passes any more, and nobody can connect.
	Dead
)

func (f Fate) String() string {
	return [...]string{"passed", "lost", "unanswered", "held", "late", "not primary", "a conflict", "unknown", "a duplicate", "a duplicate of itself", "leaving", "dead"}[f]
}

func (f Fate) isDuplicate() bool { return f == Duplicate || f == DoneDuplicate }

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
	// Makes: it may make a document, so that it can be refused as a duplicate.
	Makes bool
	// Again: it asks for the commit of a transaction that was asked for before.
	Again bool
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
	// commits are the numbers of the transactions whose commits were asked for last, by session.
	commits map[string]int64
	conns   map[net.Conn]bool
	done    sync.WaitGroup
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
	p := &Proxy{server: u.Host, fate: func(Command) Fate { return Passed }, fired: map[Fate]int{}, commits: map[string]int64{}, conns: map[net.Conn]bool{}}
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
	l := &link{proxy: p, client: client, server: server, fates: map[int32]Fate{}, forged: map[int32]message{}}
	var answers sync.WaitGroup
	answers.Go(l.answers)
	l.commands()
	_, _ = client.Close(), server.Close()
	answers.Wait()
}

// decide is the fate of a command.
func (p *Proxy) decide(m message, name string, doc bson.Raw) (f Fate, inTransaction bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return Dead, false
	}
	p.n++
	c := Command{N: p.n, Name: name}
	c.Collection, _ = doc.Index(0).Value().StringValueOK()
	_, err := doc.LookupErr("autocommit")
	c.InTransaction, c.Makes = err == nil, name == "insert" || m.upserts()
	if id, ok := doc.Lookup("lsid").DocumentOK(); ok {
		c.Session = string(id)
	}
	commit := name == "commitTransaction"
	if commit {
		number := doc.Lookup("txnNumber").AsInt64()
		c.Again = p.commits[c.Session] == number
		p.commits[c.Session] = number
	}
	f = p.fate(c)
	if f == Conflict && (!c.InTransaction || c.Again) || (f == Unknown || f == Leaving) && !commit || f.isDuplicate() && !c.Makes {
		f = Passed
	}
	p.fired[f]++
	if f == Dead {
		p.kill()
	}
	return f, c.InTransaction
}

// link is a connection of a client with that to the server which belongs to it.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu sync.Mutex
	// fates are those of the commands whose answers are still to come, by their numbers, and forged what some of these get instead.
	fates  map[int32]Fate
	forged map[int32]message
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
			f, inTransaction := l.proxy.decide(m, name, doc)
			forged := forge(f, m.id(), name, doc)
			switch {
			case f == Lost, f == Dead:
				return
			case f == NotPrimary, f == Duplicate && !inTransaction:
				if l.write(forged) != nil {
					return
				}
				continue
			case f == Conflict, f.isDuplicate() && inTransaction:
				// A statement that is refused ends its transaction.
				m = abortion(m.id(), doc)
			default:
			}
			l.mu.Lock()
			l.fates[m.id()], l.forged[m.id()] = f, forged
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
		number := m.to()
		f, forged := l.fates[number], l.forged[number]
		delete(l.fates, number)
		delete(l.forged, number)
		l.mu.Unlock()
		if forged != nil {
			m = forged
		}
		switch f {
		case Unanswered:
			return
		case Held:
			// The client gives up on it, and on its connection.
			continue
		case Late:
			time.Sleep(moment)
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
