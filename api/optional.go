package api

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Optional is a field of a JSON merge patch (RFC 7396), which may be left out, null, or a value. Tag it omitzero.
type Optional[T any] struct {
	// Set says that the field is there, as null or as Value.
	Set   bool
	Null  bool
	Value T
}

// Some is a field that is set to a value.
func Some[T any](value T) Optional[T] { return Optional[T]{Set: true, Value: value} }

// Null is a field that is reset.
func Null[T any]() Optional[T] { return Optional[T]{Set: true, Null: true} }

// IsZero reports whether the field is left out.
func (o Optional[T]) IsZero() bool { return !o.Set }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	data, err := json.Marshal(o.Value)
	if err != nil {
		return nil, fmt.Errorf("encoding an optional field: %w", err)
	}
	return data, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	*o = Optional[T]{Set: true}
	if bytes.Equal(data, []byte("null")) {
		o.Null = true
		return nil
	}
	// The error is passed on as it is: it names the type that was expected.
	return json.Unmarshal(data, &o.Value)
}
