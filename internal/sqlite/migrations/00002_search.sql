-- +goose Up

-- A row is the terms of a title or an item (see internal/search), under the item's pos; the title stands at seq 0. Which
-- rows of it there are says what is indexed. The indexer merges its segments itself, in small steps: what FTS5 does
-- of its own accord stalls the writer, so it is left for when many are there all the same.
CREATE VIRTUAL TABLE search USING fts5 (words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
INSERT INTO search (search, rank) VALUES ('automerge', 0);
INSERT INTO search (search, rank) VALUES ('crisismerge', 64);
-- The words of what is deleted leave the file when their segment is merged, so that is done once they are a hundredth of it.
INSERT INTO search (search, rank) VALUES ('deletemerge', 1);

-- What conversations are filtered by. None of it changes in a turn.
CREATE INDEX conversations_by_user ON conversations (owner, user) WHERE user IS NOT NULL;
CREATE INDEX conversations_by_model ON conversations (owner, model) WHERE model IS NOT NULL;
CREATE INDEX conversations_by_creation ON conversations (owner, created_at);

CREATE TABLE conversation_metadata (
  owner        TEXT    NOT NULL,
  key          TEXT    NOT NULL,
  value        TEXT    NOT NULL,
  conversation INTEGER NOT NULL,
  PRIMARY KEY (owner, key, value, conversation)
) STRICT, WITHOUT ROWID;

INSERT INTO conversation_metadata (owner, key, value, conversation)
SELECT c.owner, pair.key, pair.value, c.num
FROM conversation_settings s JOIN conversations c ON c.num = s.conversation, json_each(s.metadata) pair
WHERE s.metadata IS NOT NULL;
