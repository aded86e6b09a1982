package sqlite

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// busyTimeout is how long a command that writes beside the server may hold the server up.
const busyTimeout = 5 * time.Second

// largeBinding is where a bound value is given back at once instead of at the statement's next use.
const largeBinding = 64 << 10

// conn is a connection with its prepared statements. It is for one goroutine at a time.
type conn struct {
	*sqlite.Conn
	stmts map[string]*stmt
}

// openConn opens the database, a path or an SQLite URI. The pragmas of every connection come first, then more.
func openConn(path string, flags sqlite.OpenFlags, more ...string) (*conn, error) {
	db, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetBusyTimeout(busyTimeout)
	c := &conn{Conn: db, stmts: map[string]*stmt{}}
	pragmas := []string{"foreign_keys = ON", "trusted_schema = OFF", "temp_store = MEMORY"}
	for _, pragma := range append(pragmas, more...) {
		if err := sqlitex.ExecuteTransient(db, "PRAGMA "+pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("setting %s: %w", pragma, err), db.Close())
		}
	}
	return c, nil
}

// stmt is a prepared statement. Parameters are bound, and columns read, in their order: each call takes the next one.
// A statement that could not be prepared fails when it is stepped.
type stmt struct {
	s     *sqlite.Stmt
	param int
	large bool
	col   int
	err   error
}

// prepare returns the statement for an SQL text, which is a constant of this package, ready to be bound.
func (c *conn) prepare(sql string) *stmt {
	s := c.stmts[sql]
	if s == nil {
		s = &stmt{}
		if s.s, s.err = c.Prepare(sql); s.err != nil {
			return s
		}
		c.stmts[sql] = s
	}
	s.param = 0
	return s
}

// exec runs a statement that returns no rows.
func (c *conn) exec(s *stmt) error {
	for {
		if more, err := s.next(); err != nil || !more {
			return err
		}
	}
}

// next steps to the next row; after the last one the statement is reset.
func (s *stmt) next() (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	s.col = 0
	more, err := s.s.Step()
	if err != nil || !more {
		s.reset()
	}
	return more, err
}

// ints reads all rows of a statement that returns one number in each.
func (s *stmt) ints() (list []int64, err error) {
	for {
		more, err := s.next()
		if err != nil || !more {
			return list, err
		}
		list = append(list, s.getInt())
	}
}

// reset ends a statement that has not come to its last row. Its error is that of the last step.
func (s *stmt) reset() {
	if s.err != nil {
		return
	}
	_ = s.s.Reset()
	if s.large {
		s.large = false
		_ = s.s.ClearBindings()
	}
}

func (s *stmt) nextParam() (int, bool) {
	s.param++
	return s.param, s.err == nil
}

func (s *stmt) int(v int64) *stmt {
	if i, ok := s.nextParam(); ok {
		s.s.BindInt64(i, v)
	}
	return s
}

func (s *stmt) bool(v bool) *stmt {
	if v {
		return s.int(1)
	}
	return s.int(0)
}

func (s *stmt) null() *stmt {
	if i, ok := s.nextParam(); ok {
		s.s.BindNull(i)
	}
	return s
}

func (s *stmt) text(v string) *stmt {
	if i, ok := s.nextParam(); ok {
		s.large = s.large || len(v) > largeBinding
		s.s.BindText(i, v)
	}
	return s
}

// opt binds a text, or NULL for the empty one.
func (s *stmt) opt(v string) *stmt {
	if v == "" {
		return s.null()
	}
	return s.text(v)
}

// raw binds bytes as a text, or NULL where there are none. The driver copies them before it returns.
func (s *stmt) raw(v []byte) *stmt {
	return s.opt(unsafe.String(unsafe.SliceData(v), len(v))) //nolint:gosec // v does not change while it is bound
}

func (s *stmt) blob(v []byte) *stmt {
	if i, ok := s.nextParam(); ok {
		s.large = s.large || len(v) > largeBinding
		s.s.BindBytes(i, v)
	}
	return s
}

// time binds milliseconds since 1970, or NULL for the zero time.
func (s *stmt) time(v time.Time) *stmt {
	if v.IsZero() {
		return s.null()
	}
	return s.int(v.UnixMilli())
}

// ms is time for a column that is never NULL.
func (s *stmt) ms(v time.Time) *stmt {
	if v.IsZero() {
		return s.int(0)
	}
	return s.int(v.UnixMilli())
}

func (s *stmt) usage(u *llm.Usage) *stmt {
	if u == nil {
		return s.null()
	}
	var buf [64]byte
	return s.raw(appendUsage(buf[:0], u))
}

// total is usage where nothing is known until something was used.
func (s *stmt) total(u llm.Usage) *stmt {
	if u == (llm.Usage{}) {
		return s.null()
	}
	return s.usage(&u)
}

// count is int where 0 is left out.
func (s *stmt) count(n int) *stmt {
	if n == 0 {
		return s.null()
	}
	return s.int(int64(n))
}

func (s *stmt) cost(c *chat.Cost) *stmt {
	if c == nil {
		return s.null()
	}
	return s.text(encodeCost(c))
}

func (s *stmt) nextCol() int {
	s.col++
	return s.col - 1
}

func (s *stmt) skip(n int) { s.col += n }

func (s *stmt) getInt() int64 { return s.s.ColumnInt64(s.nextCol()) }

func (s *stmt) getBool() bool { return s.getInt() != 0 }

func (s *stmt) getTime() time.Time {
	ms := s.getInt()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// getRaw reads a text or blob into a; NULL and the empty one are nil.
func (s *stmt) getRaw(a *arena) []byte {
	col := s.nextCol()
	n := s.s.ColumnLen(col)
	if n == 0 {
		return nil
	}
	b := a.take(n)
	s.s.ColumnBytes(col, b)
	return b
}

func (s *stmt) getText(a *arena) string {
	b := s.getRaw(a)
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // nobody else holds these bytes
}

const (
	minChunk = 1 << 10
	maxChunk = 64 << 10
)

// arena gives the values of a page their memory in few pieces instead of one each. They live as long as any of them.
type arena struct {
	free []byte
	size int
}

func (a *arena) take(n int) []byte {
	if n > len(a.free) {
		a.size = min(max(2*a.size, minChunk), maxChunk)
		if n >= a.size/2 {
			return make([]byte, n)
		}
		a.free = make([]byte, a.size)
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

// snapshot runs fn with all its statements reading the same state of the database.
func (c *conn) snapshot(fn func() error) error {
	if err := c.exec(c.prepare("BEGIN")); err != nil {
		return err
	}
	err := fn()
	// Nothing was written: ending the transaction only releases the snapshot.
	if ended := c.exec(c.prepare("ROLLBACK")); err == nil {
		err = ended
	}
	return err
}
