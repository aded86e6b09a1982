package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"

	"github.com/parley-llm/parley/internal/config"
)

func newLogger(w io.Writer, cfg *config.Config) *slog.Logger {
	tty := isTerminal(w)
	if cfg.LogFormat == "json" || cfg.LogFormat == "" && !tty {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: cfg.Level()}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: cfg.Level(), TimeFormat: time.TimeOnly, NoColor: cfg.NoColor || !tty}))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
