package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/mongo"
	"github.com/parley-llm/parley/internal/sqlite"
)

// store is what either database is to the rest.
type store interface {
	chat.Store
	audit.Log
	Close() error
}

// openStore opens the database that the settings name.
func openStore(ctx context.Context, cfg *config.Config, keys config.Keys, newID func(string) string, log *slog.Logger, fatal func(error)) (store, error) {
	if cfg.Store.MongoDB() {
		return mongo.Open(ctx, mongo.Options{
			URI: string(cfg.Store), Database: string(cfg.MongoDatabase), Log: log, Now: time.Now, NewID: newID, KeyFingerprint: keys.Fingerprint,
		})
	}
	return sqlite.Open(ctx, sqlite.Options{
		Path: cfg.StorePath(), Log: log, Now: time.Now, NewID: newID, KeyFingerprint: keys.Fingerprint, OnFatal: fatal,
	})
}

// openLog opens a MongoDB for a tool that reads its audit log.
func openLog(ctx context.Context, cfg *config.Config) (*mongo.Log, error) {
	return mongo.OpenLog(ctx, mongo.Options{URI: string(cfg.Store), Database: string(cfg.MongoDatabase)})
}

// sqliteOnly refuses what a command does to the file of an SQLite database where there is none, and says what to do instead.
func sqliteOnly(cfg *config.Config, instead string) error {
	if !cfg.Store.MongoDB() {
		return nil
	}
	return fmt.Errorf("this command is for SQLite, and the store is %s: %s", cfg.StoreName(), instead)
}

// withLog lends the audit log of a MongoDB.
func withLog(ctx context.Context, cfg *config.Config, use func(*mongo.Log) error) error {
	log, err := openLog(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(use(log), log.Close(ctx))
}
