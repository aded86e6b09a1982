// Command bench measures Parley against a model that answers at once: what a turn costs beside the same call made through
// a bare reverse proxy, in one run, interleaved, as a ratio. It builds the binary, starts everything it needs as processes
// of its own on loopback, ends them by their ids, and prints tables. It reads the kernel's accounting and so needs Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run: its settings, and the processes that all scenarios share.
type bench struct {
	rounds          int
	window          time.Duration
	perConversation int // turns of a conversation before the next is begun
	open            int // streams held open for the memory table
	conversations   int // of the large store; 0 leaves it out
	count           int // streams of the truncation run; 0 leaves it out
	only            []string
	binary          string
	given           bool // the binary was not built by this run
	markdown        string
	root            string // where the temporary directory is made
	dir             string
	load            string // of the machine, before the run
	mock, proxy     *process
	progress        io.Writer
}

// sections in the order they run in.
var sections = []string{"turns", "memory", "start", "crud", "long", "streams", "large"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "mock" {
		return runMock(ctx, stdin, stdout)
	}
	if len(args) == 2 && args[0] == "proxy" {
		return runProxy(ctx, stdin, stdout, args[1])
	}
	b, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b.progress, b.load = stderr, loadAverage()
	results, err := b.all(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted") // what failed because of it says nothing
	}
	if err != nil {
		return err
	}
	document := b.report(ctx, results, args)
	if _, err := io.WriteString(stdout, document); err != nil {
		return err
	}
	if b.markdown != "" {
		return os.WriteFile(b.markdown, []byte(document), 0o644)
	}
	return nil
}

func parse(args []string, stderr io.Writer) (*bench, error) {
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var only string
	var short bool
	flags.IntVar(&b.rounds, "rounds", 5, "rounds; every figure is a median over them")
	flags.DurationVar(&b.window, "window", 2*time.Second, "length of one measured stretch")
	flags.IntVar(&b.perConversation, "turns", 8, "turns in a conversation before a fresh one is taken")
	flags.IntVar(&b.open, "open", 1000, "streams held open to read the memory of one")
	flags.IntVar(&b.count, "streams", 0, "send so many streams and count the truncated ones (100000 for the goal)")
	flags.IntVar(&b.conversations, "conversations", 0, "compare a store of so many conversations with one of 1,000 (1000000 for the goal)")
	flags.StringVar(&only, "only", "", "sections to run, by comma: "+strings.Join(sections, ", "))
	flags.BoolVar(&short, "short", false, "one round of short stretches: does it work at all")
	flags.StringVar(&b.binary, "parley-bin", "", "measure this binary instead of building ./cmd/parley")
	flags.StringVar(&b.markdown, "md", "", "also write the report to this file")
	flags.StringVar(&b.root, "dir", "bin", "where the temporary data is kept; must lie on a real disk")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	b.given = b.binary != ""
	if short {
		b.rounds, b.window = 1, min(b.window, 500*time.Millisecond)
	}
	if b.rounds < 1 || b.window <= 0 || b.perConversation < 1 || b.open < 1 || b.count < 0 || b.conversations < 0 {
		return nil, errors.New("-rounds, -window, -turns and -open must be positive, -streams and -conversations not negative")
	}
	if only == "" {
		b.only = []string{"turns", "memory", "start", "crud", "long"}
		if b.count > 0 {
			b.only = append(b.only, "streams")
		}
		if b.conversations > 0 {
			b.only = append(b.only, "large")
		}
		return b, nil
	}
	b.only = strings.Split(only, ",")
	for _, name := range b.only {
		if !slices.Contains(sections, name) {
			return nil, fmt.Errorf("no section %q: there are %s", name, strings.Join(sections, ", "))
		}
	}
	if slices.Contains(b.only, "streams") && b.count == 0 {
		b.count = 3000
	}
	if slices.Contains(b.only, "large") && b.conversations == 0 {
		b.conversations = 100_000
	}
	return b, nil
}

// results of one run; a section that was not asked for is nil.
type results struct {
	turns   *turnResult
	memory  *memoryResult
	start   *startResult
	crud    *crudResult
	long    *longResult
	streams *streamResult
	large   *largeResult
}

func (b *bench) all(ctx context.Context) (r results, err error) {
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		return r, err
	}
	root, err := filepath.Abs(b.root)
	if err != nil {
		return r, err
	}
	if b.dir, err = os.MkdirTemp(root, "bench-"); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if !b.given {
		b.say("building ./cmd/parley")
		if b.binary, err = build(ctx, b.dir); err != nil {
			return r, err
		}
	} else if b.binary, err = filepath.Abs(b.binary); err != nil {
		return r, err
	}
	if b.mock, err = startChild(ctx, "mock", "mock"); err != nil {
		return r, err
	}
	defer b.mock.kill()
	if b.proxy, err = startChild(ctx, "proxy", "proxy", "http://"+b.mock.address); err != nil {
		return r, err
	}
	defer b.proxy.kill()
	for _, section := range sections {
		if !slices.Contains(b.only, section) {
			continue
		}
		b.say("%s", section)
		if err := b.section(ctx, section, &r); err != nil {
			return r, fmt.Errorf("%s: %w", section, err)
		}
	}
	return r, nil
}

func (b *bench) section(ctx context.Context, name string, r *results) (err error) {
	switch name {
	case "turns":
		r.turns, err = b.turns(ctx)
	case "memory":
		r.memory, err = b.memory(ctx)
	case "start":
		r.start, err = b.start(ctx)
	case "crud":
		r.crud, err = b.crud(ctx)
	case "long":
		r.long, err = b.long(ctx)
	case "streams":
		r.streams, err = b.streams(ctx)
	case "large":
		r.large, err = b.large(ctx)
	}
	return err
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}
