package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/parley-llm/parley/internal/config"
)

const greeting = `Parley %[1]s is ready at %[2]s
  docs   %[2]s/docs
  model  %[3]s
  data   %[4]s

A first conversation, to paste:

%[6]sCONV=$(curl -s%[5]s %[2]s/api/conversations -H 'content-type: application/json' -d '{}' | grep -o 'conv_[0-9a-z]*' | head -1)
curl -s%[5]s %[2]s/api/conversations/$CONV/responses -H 'content-type: application/json' -d '{"prompt": "Hello!"}'%[7]s

`

// announce tells whoever started the server how to begin. It is not part of the log.
func announce(out io.Writer, cfg *config.Config, model *modelChoice, addr net.Addr) error {
	base := "http://" + reachable(cfg.Addr, addr)
	header, begin, end := "", "", ""
	if cfg.APIKey != "" {
		// As one command it is read whole before any of it runs: what asks for the key does not take the next line for it.
		header, begin, end = ` -H "authorization: Bearer $KEY"`, "{ "+keyCommand(cfg)+"\n", "; }"
	}
	_, err := fmt.Fprintf(out, greeting, buildVersion(), base, model.describe(), cfg.StoreName(), header, begin, end)
	return err
}

// reachable is the address to use on this machine. The port is the listener's, because that of the setting may be 0; the host is the setting's, because
// a listener on 0.0.0.0 says [::], which a port that a container publishes is not reached by.
func reachable(setting config.Addr, listener net.Addr) string {
	host, _, _ := net.SplitHostPort(string(setting))
	_, port, _ := net.SplitHostPort(listener.String())
	return config.Addr(net.JoinHostPort(host, port)).Dialable()
}

// askForKey is for a key that only the process was given, by a flag or by an environment that may be another shell's.
const askForKey = `KEY=$PARLEY_API_KEY; [ "$KEY" ] || { printf 'API key: ' >&2; read -r KEY; }`

// keyCommand sets KEY to the API key, in a shell, without showing it: it reads the key where the server has read it.
func keyCommand(cfg *config.Config) string {
	name, dotEnv := cfg.APIKeyFile()
	path, err := filepath.Abs(name)
	if name == "" || err != nil {
		return askForKey
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return askForKey
	}
	if !dotEnv {
		return `KEY=$(tr -d '[:space:]' < ` + quoted(path) + `)`
	}
	content, err := os.ReadFile(path) //nolint:gosec // It is the file that the settings came from.
	if err != nil || !holdsPlainly(string(content), cfg.APIKey.Reveal()) {
		return askForKey
	}
	return `KEY=$(sed -n "` + keyOfDotEnv + `" ` + quoted(path) + `)`
}

// keyOfDotEnv takes the key out of a line of .env, as a command of sed in double quotes; dotEnvLine is the same in Go.
const keyOfDotEnv = `s/^ *\(export  *\)*PARLEY_API_KEY *= *[\"']*\([^\"' #]*\).*/\2/p`

var dotEnvLine = regexp.MustCompile(`(?m)^ *(?:export +)*PARLEY_API_KEY *= *["']*([^"' #\n]*).*$`)

// holdsPlainly reports whether keyOfDotEnv finds the key in a .env file. It cannot where the key has a quote or a #, stands
// over several lines, or is made of other variables.
func holdsPlainly(content, key string) bool {
	found := dotEnvLine.FindAllStringSubmatch(content, -1)
	return len(found) == 1 && found[0][1] == key
}

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
