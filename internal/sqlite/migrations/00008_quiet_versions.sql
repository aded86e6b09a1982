-- +goose Up

-- How many of a conversation's versions changed nothing that a prompt is made from: its title or metadata, or an item's metadata.
-- A turn does not write it.
ALTER TABLE conversations ADD COLUMN quiet_versions INTEGER NOT NULL DEFAULT 0;
