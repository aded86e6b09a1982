-- +goose Up

-- The numbers that long conversations are being copied to, until the copy is whole and gets its row in conversations.
-- What a start finds here was left by a crash, and is purged.
CREATE TABLE forks (
  conversation INTEGER PRIMARY KEY,
  id           TEXT NOT NULL
) STRICT;

-- Where a turn was run again, the end of its input, which is [first_seq, input_end); what lies between there and output_seq is the
-- output that the new one supersedes. NULL where the output follows the input. An item that was superseded has excluded = 2.
ALTER TABLE responses ADD COLUMN input_end INTEGER;

-- 1 where somebody has chosen the title, 0 where it was made from the first message. Of older ones that is not known.
ALTER TABLE conversations ADD COLUMN title_set INTEGER NOT NULL DEFAULT 1;
