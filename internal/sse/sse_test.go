package sse

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

type plain struct{ Type, Data, ID string }

// read collects a whole stream as copies.
func read(r *Reader) ([]plain, error) {
	var events []plain
	for {
		ev, err := r.Next()
		if err != nil {
			return events, err
		}
		events = append(events, plain{string(ev.Type), string(ev.Data), string(ev.ID)})
	}
}

func equal(a, b []plain) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestReaderFollowsTheStandard(t *testing.T) {
	for _, tc := range []struct {
		name, stream string
		want         []plain
	}{
		{"one line of data", "data: a\n\n", []plain{{"", "a", ""}}},
		{"several lines of data are joined", "data: a\ndata:\ndata: b\n\n", []plain{{"", "a\n\nb", ""}}},
		{"a line may end in CR", "data: a\rdata: b\r\r", []plain{{"", "a\nb", ""}}},
		{"a line may end in CRLF", "data: a\r\ndata: b\r\n\r\n", []plain{{"", "a\nb", ""}}},
		{"line endings may be mixed", "event: e\r\ndata: a\rdata: b\n\r\ndata: c\n\r", []plain{{"e", "a\nb", ""}, {"", "c", ""}}},
		{"only one space after the colon belongs to the framing", "data:a\n\ndata:  b \n\n", []plain{{"", "a", ""}, {"", " b ", ""}}},
		{"a field without a colon has an empty value", "data\n\n", []plain{{"", "", ""}}},
		{"the name holds for one event", "event: x\ndata: 1\n\ndata: 2\n\n", []plain{{"x", "1", ""}, {"", "2", ""}}},
		{"the name of an event without data is forgotten", "event: x\n\ndata: 2\n\n", []plain{{"", "2", ""}}},
		{"the id stays", "id: 7\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\n", []plain{{"", "1", "7"}, {"", "2", "7"}, {"", "3", ""}}},
		{"an id with NUL is ignored", "id: 7\ndata: 1\n\nid: 8\x00\ndata: 2\n\n", []plain{{"", "1", "7"}, {"", "2", "7"}}},
		{"comments and unknown fields are skipped", ": hi\n:\nretry: 10\nfoo: bar\nDATA: no\ndata: a\n: in between\ndata: b\n\n", []plain{{"", "a\nb", ""}}},
		{"a byte order mark at the start is skipped", "\ufeffdata: a\n\n\ufeffdata: b\n\n", []plain{{"", "a", ""}}},
		{"blank lines alone are no events", "\n\r\n\r\r\n\ndata: a\n\n\n\n", []plain{{"", "a", ""}}},
		{"an event that is not finished is dropped", "data: a\n\ndata: b\n", []plain{{"", "a", ""}}},
		{"a line that is not finished is dropped", "data: a\n\ndata: b", []plain{{"", "a", ""}}},
		{"a colon in the value stays", "data: {\"a\":\"b: c\"}\n\n", []plain{{"", `{"a":"b: c"}`, ""}}},
		{"bytes that are not UTF-8 stay", "data: \xff\xfe\n\n", []plain{{"", "\xff\xfe", ""}}},
		{"nothing", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, src := range map[string]io.Reader{
				"at once":            strings.NewReader(tc.stream),
				"byte by byte":       iotest.OneByteReader(strings.NewReader(tc.stream)),
				"with the end early": iotest.DataErrReader(strings.NewReader(tc.stream)),
			} {
				got, err := read(NewReader(src))
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: error %v, want io.EOF", how, err)
				}
				if !equal(got, tc.want) {
					t.Errorf("%s: got %q, want %q", how, got, tc.want)
				}
			}
		})
	}
}

func TestReaderHandsAnEventOutWithoutWaitingForMore(t *testing.T) {
	for _, stream := range []string{"data: a\n\n", "data: a\r\r", "data: a\r\n\r"} {
		src, dst := io.Pipe()
		go func() { _, _ = dst.Write([]byte(stream)) }()
		ev, err := NewReader(src).Next()
		if err != nil || string(ev.Data) != "a" {
			t.Errorf("%q: got %q, %v", stream, ev.Data, err)
		}
		_ = src.Close()
	}
}

func TestReaderKeepsItsLimits(t *testing.T) {
	line := func(n int) string { return "data:" + strings.Repeat("x", n-len("data:")) + "\n" }
	for _, tc := range []struct {
		name, stream string
		want         error
		events       int
	}{
		{"a line of the greatest length passes", line(64) + "\n", io.EOF, 1},
		{"a longer line does not", "data: first\n\n" + line(65) + "\ndata: later\n\n", ErrLineTooLong, 1},
		{"nor one that never ends", strings.Repeat("x", 10_000), ErrLineTooLong, 0},
		{"nor a comment", ":" + strings.Repeat("x", 64) + "\n\ndata: later\n\n", ErrLineTooLong, 0},
		{"an event of the greatest size passes", line(55) + line(54) + "\n", io.EOF, 1},
		{"a larger event does not", "data: first\n\n" + line(55) + line(55) + "\ndata: later\n\n", ErrEventTooLarge, 1},
		{"nor one of very many empty lines", strings.Repeat("data\n", 200) + "\n", ErrEventTooLarge, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tc.stream))
			r.MaxLine, r.MaxEvent = 64, 100
			events, err := read(r)
			if !errors.Is(err, tc.want) || len(events) != tc.events {
				t.Fatalf("got %d events and %v, want %d and %v", len(events), err, tc.events, tc.want)
			}
			if _, err := r.Next(); !errors.Is(err, tc.want) {
				t.Errorf("the next call says %v", err)
			}
		})
	}
}

func TestReaderPassesOnTheSourcesError(t *testing.T) {
	broken := errors.New("reset")
	events, err := read(NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))))
	if !errors.Is(err, broken) || !equal(events, []plain{{"", "a", ""}}) {
		t.Errorf("got %q, %v", events, err)
	}
	if _, err := read(NewReader(idle{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that returns nothing: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestReaderTakesLinesLongerThanItsBuffer(t *testing.T) {
	long := strings.Repeat("y", 3*bufferSize+17)
	got, err := read(NewReader(strings.NewReader("data: a\n\ndata: " + long + "\n\ndata: b\n\n")))
	if !errors.Is(err, io.EOF) || !equal(got, []plain{{"", "a", ""}, {"", long, ""}, {"", "b", ""}}) {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"an event", AppendEvent(nil, 12, "response.created", []byte(`{"a":1}`)), "id: 12\nevent: response.created\ndata: {\"a\":1}\n\n"},
		{"without id and name", AppendEvent([]byte("before"), -1, "", []byte("[DONE]")), "beforedata: [DONE]\n\n"},
		{"without data", AppendEvent(nil, 0, "e", nil), "id: 0\nevent: e\ndata: \n\n"},
		{"data over several lines", AppendEvent(nil, -1, "", []byte("a\nb\r\nc\rd\n")), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"a name with line endings", AppendEvent(nil, -1, "e\r\ndata: x", []byte("y")), "event: edata: x\ndata: y\n\n"},
		{"a comment", AppendComment(nil, "alive"), ": alive\n\n"},
		{"a comment over several lines", AppendComment(nil, "a\ndata: b"), ": a\n: data: b\n\n"},
	} {
		if string(tc.got) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}

func FuzzWhatIsWrittenIsRead(f *testing.F) {
	f.Add(int64(3), "response.output_text.delta", []byte(`{"delta":"a"}`), []byte("x"))
	f.Add(int64(-1), "", []byte("a\r\nid: 9\r\rdata: b\n\n"), []byte("\n"))
	f.Add(int64(0), "a\n\ndata: b", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, id int64, name string, first, second []byte) {
		stream := AppendComment(nil, name)
		stream = AppendEvent(stream, id, name, first)
		stream = AppendComment(stream, string(second))
		stream = AppendEvent(stream, -1, "", second)
		wantID := ""
		if id >= 0 {
			wantID = strconv.FormatInt(id, 10)
		}
		want := []plain{
			{strings.NewReplacer("\n", "", "\r", "").Replace(name), joined(first), wantID},
			{"", joined(second), wantID},
		}
		for _, src := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			got, err := read(NewReader(src))
			if !errors.Is(err, io.EOF) || !equal(got, want) {
				t.Fatalf("wrote %q, read %q, want %q: %v", stream, got, want, err)
			}
		}
	})
}

// joined is data as a reader sees it: every line ending has become a line feed.
func joined(data []byte) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
}

func FuzzReaderDoesNotDependOnHowBytesArrive(f *testing.F) {
	f.Add([]byte("\xef\xbb\xbfdata: a\r\n\rid: 1\ndata\n\n: c\nevent: x\rdata: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		limited := func(src io.Reader) *Reader {
			r := NewReader(src)
			r.MaxLine, r.MaxEvent = 32, 64
			return r
		}
		whole, errWhole := read(limited(bytes.NewReader(stream)))
		single, errSingle := read(limited(iotest.OneByteReader(bytes.NewReader(stream))))
		if !equal(whole, single) {
			t.Fatalf("at once %q, byte by byte %q", whole, single)
		}
		if !errors.Is(errWhole, errSingle) {
			t.Fatalf("at once %v, byte by byte %v", errWhole, errSingle)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var stream []byte
	for range 100 {
		stream = AppendEvent(stream, -1, "", bytes.Repeat([]byte("x"), 220))
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(stream))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	data := bytes.Repeat([]byte("x"), 220)
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = AppendEvent(dst[:0], int64(i), "response.output_text.delta", data)
	}
}
