package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/joho/godotenv"
)

const (
	maxDotEnv     = 1 << 20
	maxSecretFile = 64 << 10
	dotEnvFile    = ".env"
)

// readDotEnv reads a .env file; none is no error. The parser's own error quotes the file, which holds
// keys, so it is replaced by the number of the line.
func readDotEnv(path string) (map[string]string, error) {
	content, err := readFile(path, maxDotEnv)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf(".env: %w", err)
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	values, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		return nil, fmt.Errorf(".env: line %d is not of the form NAME=value", wrongLine(content))
	}
	return values, nil
}

// wrongLine is the line behind the longest beginning that can be parsed. Shorter ones may fail as well, in the middle of
// a value of several lines.
func wrongLine(content []byte) int {
	lines := bytes.SplitAfter(content, []byte("\n"))
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil)); err == nil {
			return n + 1
		}
	}
	return 1
}

// readSecretFile reads a secret, without the white space that editors and `echo` leave at its end.
func readSecretFile(path string) (string, error) {
	content, err := readFile(path, maxSecretFile)
	if err != nil {
		return "", fmt.Errorf("cannot be read from its file: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", errors.New("its file is empty")
	}
	return secret, nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func readFile(path string, limit int64) (content []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return content, err
}
