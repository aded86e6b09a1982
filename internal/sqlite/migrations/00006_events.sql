-- +goose Up

-- The batches of event logs. pos is the response's num << 20 | the batch's number.
CREATE TABLE events (
  pos   INTEGER PRIMARY KEY,
  steps BLOB    NOT NULL
) STRICT;

-- The number of a response's last event; while it runs, the one that its end has if the server dies. NULL without an event log.
ALTER TABLE responses ADD COLUMN last_event INTEGER;
