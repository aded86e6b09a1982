-- +goose Up

-- The numbers that long conversations are being copied to, until the copy is whole and gets its row in conversations.
-- What a start finds here was left by a crash, and is purged.
CREATE TABLE forks (
  conversation INTEGER PRIMARY KEY,
  id           TEXT NOT NULL
) STRICT;
