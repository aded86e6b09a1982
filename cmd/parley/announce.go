package main

import (
	"fmt"
	"io"
	"net"

	"github.com/parley-llm/parley/internal/config"
)

const greeting = `Parley %[1]s is ready at %[2]s
  docs   %[2]s/docs
  model  %[3]s
  data   %[4]s

A first conversation, to paste:

CONV=$(curl -s%[5]s %[2]s/api/conversations -H 'content-type: application/json' -d '{}' | grep -o 'conv_[0-9a-z]*' | head -1)
curl -s%[5]s %[2]s/api/conversations/$CONV/responses -H 'content-type: application/json' -d '{"prompt": "Hello!"}'

`

// announce tells whoever started the server how to begin. It is not part of the log.
func announce(out io.Writer, cfg *config.Config, model *modelChoice, addr net.Addr) error {
	// The port is the listener's: the setting may be 0.
	base := "http://" + config.Addr(addr.String()).Dialable()
	key := ""
	if cfg.APIKey != "" {
		key = ` -H "authorization: Bearer $PARLEY_API_KEY"`
	}
	_, err := fmt.Fprintf(out, greeting, buildVersion(), base, model.describe(), cfg.StorePath(), key)
	return err
}
