package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// responseDoc is a response. Its _id is owner/id. Its items are those of its conversation from First to InputEnd, and from OutputSeq to End.
type responseDoc struct {
	ID           string `bson:"_id"`
	Owner        string `bson:"o"`
	Name         string `bson:"id"`
	K            string `bson:"k"`
	Conversation string `bson:"c"`
	Status       string `bson:"status"`
	// Kind is a turn of its conversation, one that is run again, or neither.
	Kind int `bson:"kind"`
	// Fence is the change of the conversation by which a turn got its lock. It orders a conversation's responses.
	Fence     int64 `bson:"fence"`
	First     int64 `bson:"first"`
	InputEnd  int64 `bson:"input_end"`
	OutputSeq int64 `bson:"output"`
	End       int64 `bson:"end"`
	// Holder is the process that makes it, and Beat what that raises as long as it lives. There is no beat once the response has ended.
	Holder string `bson:"holder"`
	Beat   *int64 `bson:"beat,omitempty"`
	// Cancel is the holder that is asked to stop it.
	Cancel string `bson:"cancel,omitempty"`

	Attempts     int       `bson:"attempts"`
	Stream       bool      `bson:"stream,omitempty"`
	LastEvent    int       `bson:"last_event,omitempty"`
	LogUntil     time.Time `bson:"log_until,omitempty"`
	Model        string    `bson:"model"`
	Provider     string    `bson:"provider"`
	Host         string    `bson:"host,omitempty"`
	FallbackFrom string    `bson:"fallback_from,omitempty"`
	Truncated    int       `bson:"truncated,omitempty"`
	FinishReason string    `bson:"finish_reason,omitempty"`
	ErrorCode    string    `bson:"error_code,omitempty"`
	ErrorMessage string    `bson:"error_message,omitempty"`
	ErrorKind    string    `bson:"error_kind,omitempty"`
	Usage        *usageDoc `bson:"usage,omitempty"`
	Cost         *costDoc  `bson:"cost,omitempty"`
	Actor        string    `bson:"actor,omitempty"`
	RequestID    string    `bson:"request_id,omitempty"`
	Created      time.Time `bson:"created"`
	Started      time.Time `bson:"started,omitempty"`
	FirstToken   time.Time `bson:"first_token,omitempty"`
	Completed    time.Time `bson:"completed,omitempty"`
}

// The kinds of response.
const (
	kindTurn = iota
	// kindAgain is a turn that is run again.
	kindAgain
	// kindAside is no turn, kindUnstored one that is there for its end alone.
	kindAside
	kindUnstored
)

// running are the states of a response that has not ended.
var running = elem("status", bson.D{{Key: "$in", Value: bson.A{string(chat.Queued), string(chat.InProgress)}}})

// encodeResponse makes the document of a response that begins.
func (s *Store) encodeResponse(owner, k string, r *chat.Response, kind int) *responseDoc {
	beat := int64(0)
	return &responseDoc{
		ID: key(owner, r.ID), Owner: owner, Name: r.ID, K: k, Conversation: r.ConversationID, Status: string(r.Status), Kind: kind, Holder: s.holder, Beat: &beat,
		Attempts: r.Attempts, Stream: r.Stream, LastEvent: r.LastEvent, Model: r.Model, Provider: r.Provider, Host: r.Host, FallbackFrom: r.FallbackFrom,
		Truncated: r.Truncated, Actor: r.Actor, RequestID: r.RequestID, Created: kept(r.CreatedAt),
	}
}

func (d *responseDoc) response() chat.Response {
	r := chat.Response{
		ID: d.Name, Owner: d.Owner, ConversationID: d.Conversation, Status: chat.Status(d.Status), Model: d.Model, Provider: d.Provider, Host: d.Host,
		FallbackFrom: d.FallbackFrom, Stream: d.Stream, Unstored: d.Kind == kindUnstored, LastEvent: d.LastEvent, Usage: d.Usage.opt(), Cost: d.Cost.cost(),
		Truncated: d.Truncated, Attempts: d.Attempts, FinishReason: d.FinishReason, RequestID: d.RequestID, Actor: d.Actor,
		CreatedAt: d.Created, StartedAt: d.Started, FirstTokenAt: d.FirstToken, CompletedAt: d.Completed,
	}
	if d.ErrorCode != "" || d.ErrorMessage != "" {
		r.Error = &chat.ResponseError{Code: d.ErrorCode, Message: d.ErrorMessage, Kind: fault.KindOf(d.ErrorKind)}
	}
	return r
}

// load is the response with its items, and the size of the output's content.
func (s *Store) load(ctx context.Context, d *responseDoc) (r chat.Response, size int, err error) {
	r = d.response()
	if d.Kind >= kindAside {
		return r, 0, nil
	}
	bySeq := bson.D{elem("seq", 1)}
	if d.First < d.InputEnd {
		o := options.Find().SetSort(bySeq).SetBatchSize(batch).SetProjection(bson.D{elem("id", 1)})
		if err := each(ctx, s.items(), bson.D{elem("k", d.K), between(d.First, d.InputEnd)}, o, func(it *itemDoc) (bool, error) {
			r.Input = append(r.Input, it.Name)
			return true, nil
		}); err != nil {
			return r, 0, err
		}
	}
	if d.OutputSeq == d.End {
		return r, 0, nil
	}
	o := options.Find().SetSort(bySeq).SetBatchSize(batch).SetProjection(withoutTerms)
	err = each(ctx, s.items(), bson.D{elem("k", d.K), between(d.OutputSeq, d.End)}, o, func(it *itemDoc) (bool, error) {
		size += it.size()
		r.Output = append(r.Output, it.item(d.Conversation))
		return true, nil
	})
	return r, size, err
}

// responseDoc reads a response of any kind.
func (s *Store) responseDoc(ctx context.Context, owner, id string) (*responseDoc, error) {
	var d responseDoc
	err := s.responses().FindOne(ctx, byID(key(owner, id))).Decode(&d)
	if missing(err) {
		return nil, chat.ResponseNotFound()
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Response implements chat.Store.
func (s *Store) Response(ctx context.Context, owner, id string) (r chat.Response, err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		d, err := s.responseDoc(ctx, owner, id)
		if err != nil {
			return err
		}
		there, err := s.exists(ctx, s.conversations(), append(byID(key(owner, d.Conversation)), elem("k", d.K)))
		if err != nil {
			return err
		}
		if !there || d.Kind == kindUnstored {
			return chat.ResponseNotFound()
		}
		r, _, err = s.load(ctx, d)
		return err
	})
	if err != nil {
		return chat.Response{}, err
	}
	return r, nil
}

// Responses implements chat.Store.
func (s *Store) Responses(ctx context.Context, owner, conversationID string, p chat.Page) (page chat.List[chat.Response], err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		c, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		w, err := newWindow("fence", p, func(id string) (any, error) {
			d, err := s.responseDoc(ctx, owner, id)
			if err != nil || d.K != c.K || d.Kind >= kindAside {
				return nil, cursorError(err)
			}
			return d.Fence, nil
		})
		if err != nil {
			return err
		}
		if w.lo == nil {
			// Those that are no turns have the fence 0.
			w.lo = int64(0)
		}
		page, err = collect(ctx, s.responses(), bson.D{elem("k", c.K)}, w, nil, func(d *responseDoc, r *chat.Response) (n int, err error) {
			*r, n, err = s.load(ctx, d)
			return n, err
		})
		return err
	})
	return page, err
}
