package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/sse"
)

const (
	// heartbeat is how often a stream says that it is alive.
	heartbeat = 15 * time.Second
	// batchLimit is about how much is written in one piece.
	batchLimit = 64 << 10
)

// stream answers with the events of a response as they come, each written whole, and returns when they have ended or the client
// has gone, which does not end the response. It closes the subscription, and
// reports whether the last event was written.
func (s *server) stream(ctx context.Context, x *exchange, sub *chat.Subscription) bool {
	defer sub.Close()
	s.Metrics.streamBegan()
	defer s.Metrics.streamEnded()

	h := x.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"}
	x.WriteHeader(http.StatusOK)

	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	beat, sent := false, half{}
	defer func() {
		if sent.bytes > 0 {
			x.breakOff()
		}
	}()
	for {
		began := time.Now()
		batch, err := sub.Take(ctx)
		var failed error
		switch {
		case err == nil && !batch.Cut && (sent.bytes > 0 || sub.Wanted() != nil):
			failed = s.sendInTurn(x, sub, &batch, &sent, time.Since(began))
		case sent.bytes > 0:
			// Within an event nothing else can be said.
			return false
		default:
			failed = s.send(ctx, x, &batch, err, beat)
		}
		if failed != nil || err != nil || batch.Ended || batch.Cut {
			return failed == nil && batch.Ended && sent.bytes == 0
		}
		select {
		case <-sub.C:
			beat = false
		case <-alive.C:
			beat = true
		case <-ctx.Done():
			return false
		}
	}
}

// send writes events, or the sign that the stream is alive, and sends them on their way; the last ones go with the end of
// the answer. A stream that cannot go on says why.
func (s *server) send(ctx context.Context, x *exchange, batch *chat.Batch, failed error, beat bool) error {
	// Between its events a stream holds no buffers.
	out := s.writers.Get().(*eventWriter)
	defer out.giveBack(&s.writers)
	out.exchange = x
	if beat {
		out.batch = sse.AppendComment(out.batch, "alive")
	}
	for i, ev := range batch.Events {
		out.add(batch.First+i, ev)
	}
	switch {
	case batch.Cut:
		out.fail(batch.First-1, lagging())
	case failed != nil && ctx.Err() == nil:
		out.fail(batch.First-1, s.problem(ctx, failed).fault)
	}
	out.write()
	if out.err == nil && !batch.Ended {
		out.err = x.flush()
	}
	return out.err
}

// eventWriter gathers events and writes them in one piece, so that no chunk on the wire ends within an event.
type eventWriter struct {
	*exchange
	batch []byte
	data  []byte
	err   error
}

// giveBack lends the writer to the next one, unless it has become too large to be kept.
func (w *eventWriter) giveBack(to *sync.Pool) {
	if cap(w.batch) <= 2*batchLimit && cap(w.data) <= batchLimit {
		*w = eventWriter{batch: w.batch[:0], data: w.data[:0]}
		to.Put(w)
	}
}

func (w *eventWriter) add(number int, ev chat.Event) {
	w.frame(number, ev)
	if len(w.batch) >= batchLimit {
		w.write()
	}
}

// frame gathers an event as it goes on the wire.
func (w *eventWriter) frame(number int, ev chat.Event) {
	w.data = appendEvent(w.data[:0], number, ev)
	w.batch = sse.AppendEvent(w.batch, int64(number), ev.Type(), w.data)
}

// fail writes why the stream goes no further. It has the number of the last event that was delivered: the response itself
// may well go on.
func (w *eventWriter) fail(number int, f *fault.Error) {
	const name = "error"
	o := object(w.data[:0])
	o.open()
	o.str("type", name)
	o.int("sequence_number", int64(number))
	o.str("code", f.Code)
	o.str("message", f.Message)
	o.raw("param", []byte("null"))
	o.close()
	w.data = o
	w.batch = sse.AppendEvent(w.batch, int64(number), name, w.data)
}

// lagging is the fault of a reader that has not taken its events for too long.
func lagging() *fault.Error {
	return fault.New(fault.Unavailable, codeLagging, "The events were not read for so long that they are not held any more. Read on behind the last one that came, from the response's events.")
}

func (w *eventWriter) write() {
	if len(w.batch) > 0 && w.err == nil {
		_, w.err = w.Write(w.batch)
	}
	w.batch = w.batch[:0]
}

// appendEvent writes an event's data. The fields are those of the OpenAI Responses stream; response and item are native
// objects.
func appendEvent(dst []byte, number int, ev chat.Event) []byte {
	o := object(dst)
	o.open()
	o.str("type", ev.Type())
	o.int("sequence_number", int64(number))
	switch ev := ev.(type) {
	case *chat.TextEvent:
		o.place(ev.ItemID, ev.OutputIndex)
		o.int("content_index", int64(ev.ContentIndex))
		o.str(textField(ev), ev.Text)
		if ev.Kind == chat.PartText {
			o.raw("logprobs", []byte("[]"))
		}
	case *chat.ResponseEvent:
		o.key("response")
		o = appendResponse(o, &ev.Response)
	case *chat.ItemEvent:
		o.int("output_index", int64(ev.OutputIndex))
		o.key("item")
		o = appendMessage(o, &ev.Item)
	case *chat.PartEvent:
		o.place(ev.ItemID, ev.OutputIndex)
		o.int("content_index", int64(ev.ContentIndex))
		o.key("part")
		o.part(ev)
	case *chat.ArgumentsEvent:
		o.place(ev.ItemID, ev.OutputIndex)
		if ev.Done {
			o.str("name", ev.Name)
			o.str("arguments", ev.Arguments)
		} else {
			o.str("delta", ev.Arguments)
		}
	case *chat.ReasoningEvent:
		o.place(ev.ItemID, ev.OutputIndex)
		o.int("content_index", int64(ev.ContentIndex))
		if ev.Done {
			o.str("text", ev.Text)
		} else {
			o.str("delta", ev.Text)
		}
	}
	o.close()
	return o
}

func (o *object) place(itemID string, outputIndex int) {
	o.str("item_id", itemID)
	o.int("output_index", int64(outputIndex))
}

func (o *object) part(ev *chat.PartEvent) {
	o.open()
	o.str("type", string(ev.Kind))
	if ev.Kind == chat.PartRefusal {
		o.str("refusal", ev.Text)
	} else {
		o.str("text", ev.Text)
		o.raw("annotations", []byte("[]"))
		o.raw("logprobs", []byte("[]"))
	}
	o.close()
}

func textField(ev *chat.TextEvent) string {
	switch {
	case !ev.Done:
		return "delta"
	case ev.Kind == chat.PartRefusal:
		return "refusal"
	default:
		return "text"
	}
}
