package sqlite

import (
	"errors"
	"strconv"
	"strings"

	"github.com/parley-llm/parley/internal/chat"
)

// encodeCost writes a cost as its millionths, whether it is estimated (1) or not (0), and the version of the prices, with spaces between.
func encodeCost(c *chat.Cost) string {
	estimated := " 0 "
	if c.Estimated {
		estimated = " 1 "
	}
	return strconv.FormatInt(c.AmountMicros, 10) + estimated + c.PriceVersion
}

// decodeCost reads what encodeCost wrote; nothing is nil.
func decodeCost(raw []byte) (*chat.Cost, error) {
	if raw == nil {
		return nil, nil
	}
	amount, rest, _ := strings.Cut(string(raw), " ")
	estimated, version, ok := strings.Cut(rest, " ")
	micros, err := strconv.ParseInt(amount, 10, 64)
	if err != nil || !ok || estimated != "0" && estimated != "1" {
		return nil, errCost
	}
	return &chat.Cost{AmountMicros: micros, Estimated: estimated == "1", PriceVersion: version}, nil
}

var errCost = errors.New("a cost is not as it was written")
