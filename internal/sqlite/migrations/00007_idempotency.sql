-- +goose Up

-- Idempotency keys and what each was taken for; of that the id alone. Rows are numbered by age and removed in that order.
CREATE TABLE claims (
  num         INTEGER PRIMARY KEY,
  owner       TEXT    NOT NULL,
  route       TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  fingerprint BLOB    NOT NULL,
  resource_id TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  UNIQUE (owner, route, key)
) STRICT;

-- What kind of failure a failed response is, by its name: with code and message it makes the same answer again. Of older ones that is
-- not known.
ALTER TABLE responses ADD COLUMN error_kind TEXT;
