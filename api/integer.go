package api

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
)

// Integer is an integer that is also read from a number such as 1.0 or 1e3, which JSON counts among them.
type Integer int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *Integer) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*int64)(i)); err == nil {
		return nil
	}
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("reading an integer: %w", err)
	}
	// Beyond this a float stands for several integers.
	const exact = 1 << 53
	if f != math.Trunc(f) || math.Abs(f) > exact {
		return &json.UnmarshalTypeError{Value: "number", Type: reflect.TypeFor[int64]()}
	}
	*i = Integer(f)
	return nil
}
