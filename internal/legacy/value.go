package legacy

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What is in a document may be of any type: each of these takes what can be meant by it, and says whether it can.

// text is a value that is one text, as stores take it: UTF-8 without NUL.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return clean(v), true
	case bson.Symbol:
		return clean(string(v)), true
	default:
		return "", false
	}
}

func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
}

// shown is any value as a text: a text as it is, everything else as JSON.
func shown(v any) string {
	if s, ok := text(v); ok {
		return s
	}
	switch v := v.(type) {
	case bson.ObjectID:
		return v.Hex()
	case bson.DateTime:
		return stamp(v.Time())
	default:
		return string(appendJSON(nil, v))
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// appendJSON appends a value as JSON, the members of a document in their order.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case bson.D:
		dst = append(dst, '{')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, e.Key), ':')
			dst = appendJSON(dst, e.Value)
		}
		return append(dst, '}')
	case bson.A:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case bool:
		return strconv.AppendBool(dst, v)
	case int32:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...)
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case bson.Decimal128:
		return appendString(dst, v.String())
	case bson.Binary:
		return appendString(dst, base64.StdEncoding.EncodeToString(v.Data))
	case string, bson.Symbol, bson.ObjectID, bson.DateTime:
		return appendString(dst, shown(v))
	case bson.Timestamp:
		return appendString(dst, stamp(time.Unix(int64(v.T), 0)))
	default:
		return append(dst, "null"...)
	}
}

func appendString(dst []byte, s string) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string always encodes.
	_ = enc.Encode(clean(s))
	return append(dst, strings.TrimSuffix(b.String(), "\n")...)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int32:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	default:
		return 0, false
	}
}

func whole(v any) (int64, bool) {
	n, ok := number(v)
	return int64(n), ok && n == math.Trunc(n) && math.Abs(n) < 1<<53
}

// layouts are how programs in Python write times as texts; where no zone is given it is UTC.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02"}

// when is a point in time, to the millisecond: a date of BSON, a text, or a number of seconds or milliseconds since 1970.
func when(v any) (time.Time, bool) {
	t, ok := time.Time{}, false
	switch v := v.(type) {
	case bson.DateTime:
		t, ok = v.Time(), true
	case bson.Timestamp:
		t, ok = time.Unix(int64(v.T), 0), true
	case string:
		for _, layout := range layouts {
			var err error
			if t, err = time.Parse(layout, strings.TrimSpace(v)); err == nil {
				ok = true
				break
			}
		}
	default:
		n, isNumber := number(v)
		const milliseconds = 1e11 // as seconds, that is the year 5138
		if n < milliseconds {
			n *= 1000
		}
		t, ok = time.UnixMilli(int64(n)), isNumber
	}
	t = t.UTC().Truncate(time.Millisecond)
	// What lies outside is no time of a conversation with a model, and not every part of the program can write it.
	return t, ok && t.Year() >= 1970 && t.Year() <= 9999
}

// idOf is the text by which a document's _id, or a reference to it, is known, and the time in it, if it has one. An ObjectId and its digits are
// the same.
func idOf(v any) (id string, at time.Time) {
	switch v := v.(type) {
	case bson.ObjectID:
		return v.Hex(), v.Timestamp().UTC()
	case bson.DBPointer:
		return idOf(v.Pointer)
	case bson.D:
		// A reference: {"$ref": collection, "$id": id}.
		for _, e := range v {
			if e.Key == "$id" {
				return idOf(e.Value)
			}
		}
	case string:
		if oid, err := bson.ObjectIDFromHex(v); err == nil {
			return idOf(oid)
		}
	}
	return shown(v), time.Time{}
}
