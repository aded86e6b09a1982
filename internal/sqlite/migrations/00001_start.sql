-- +goose Up

-- 'Prly': a database without it is not ours.
PRAGMA application_id = 0x50726c79;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the items of a deleted conversation are purged later, so its number must not come again.
-- Times are milliseconds since 1970. usage is a JSON array of input, output, total, cached and reasoning tokens, or NULL:
-- one column, because each column of a row costs time whenever it is read. Rows are kept short: every turn writes its conversation's
-- row twice.
CREATE TABLE conversations (
  num                 INTEGER PRIMARY KEY AUTOINCREMENT,
  id                  TEXT    NOT NULL,
  owner               TEXT    NOT NULL,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  version             INTEGER NOT NULL,
  next_seq            INTEGER NOT NULL,
  message_count       INTEGER NOT NULL,
  usage               TEXT,
  has_settings        INTEGER NOT NULL,
  active_response     TEXT,
  title               TEXT    NOT NULL,
  user                TEXT,
  model               TEXT,
  forked_conversation TEXT,
  forked_item         TEXT
) STRICT;

CREATE UNIQUE INDEX conversations_by_id ON conversations (id, owner);
CREATE INDEX conversations_by_activity ON conversations (owner, updated_at);

-- The long and seldom written part of a conversation; a row only where has_settings is 1.
CREATE TABLE conversation_settings (
  conversation INTEGER PRIMARY KEY REFERENCES conversations (num) ON DELETE CASCADE,
  instructions TEXT,
  params       TEXT,
  metadata     TEXT
) STRICT;

-- pos is conversation << 24 | seq: the items of a conversation lie side by side in the order they are read in.
CREATE TABLE items (
  pos              INTEGER PRIMARY KEY,
  id               TEXT    NOT NULL,
  type             TEXT    NOT NULL,
  role             TEXT,
  status           TEXT    NOT NULL,
  version          INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  edited_at        INTEGER,
  excluded         INTEGER NOT NULL,
  output           INTEGER NOT NULL,
  response_id      TEXT,
  model            TEXT,
  usage            TEXT,
  metadata         TEXT,
  content          TEXT,
  data             TEXT
) STRICT;

CREATE UNIQUE INDEX items_by_id ON items (id, pos >> 24);

-- num is the order of age. The items of a turn are [first_seq, output_seq) as its input and [output_seq, end_seq) as its output.
CREATE TABLE responses (
  num              INTEGER PRIMARY KEY,
  conversation     INTEGER NOT NULL,
  id               TEXT    NOT NULL,
  owner            TEXT    NOT NULL,
  status           TEXT    NOT NULL,
  attempts         INTEGER NOT NULL,
  first_seq        INTEGER NOT NULL,
  output_seq       INTEGER NOT NULL,
  end_seq          INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  started_at       INTEGER,
  first_token_at   INTEGER,
  completed_at     INTEGER,
  stream           INTEGER NOT NULL,
  model            TEXT    NOT NULL,
  provider         TEXT    NOT NULL,
  host             TEXT,
  actor            TEXT,
  request_id       TEXT,
  finish_reason    TEXT,
  error_code       TEXT,
  error_message    TEXT,
  usage            TEXT
) STRICT;

CREATE UNIQUE INDEX responses_by_id ON responses (id, owner);
CREATE INDEX responses_by_conversation ON responses (conversation);
CREATE INDEX responses_running ON responses (conversation) WHERE status IN ('queued', 'in_progress');

-- Conversations that are deleted and whose items and responses are not all removed yet.
CREATE TABLE purges (
  conversation INTEGER PRIMARY KEY,
  id           TEXT NOT NULL
) STRICT;

-- The hash chains, one for each start of the server.
CREATE TABLE chains (
  epoch INTEGER PRIMARY KEY,
  name  TEXT NOT NULL UNIQUE
) STRICT;

-- pos is epoch << 40 | seq. header holds the exact bytes under the hash; the columns ahead of it are derived from it and
-- serve to find a record. texts holds the kept texts of the payloads end to end, salts says where each begins and holds its
-- salt; an erasure sets both to NULL and leaves the header valid.
CREATE TABLE audit (
  pos             INTEGER PRIMARY KEY,
  id              TEXT    NOT NULL,
  time            INTEGER NOT NULL,
  kind            TEXT    NOT NULL,
  owner           TEXT    NOT NULL,
  conversation_id TEXT,
  response_id     TEXT,
  attempt         INTEGER,
  header          BLOB    NOT NULL,
  hash            BLOB    NOT NULL,
  texts           TEXT,
  salts           BLOB
) STRICT;

CREATE UNIQUE INDEX audit_by_id ON audit (id);
CREATE UNIQUE INDEX audit_by_attempt ON audit (response_id, attempt, kind) WHERE response_id IS NOT NULL;
CREATE INDEX audit_by_time ON audit (owner, time);
CREATE INDEX audit_by_conversation ON audit (conversation_id, time) WHERE conversation_id IS NOT NULL;
