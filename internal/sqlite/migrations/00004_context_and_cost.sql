-- +goose Up

-- cost: millionths of a US dollar, 1 if estimated or 0, and the version of the prices, with spaces between; NULL where unknown.
ALTER TABLE conversations ADD COLUMN cost TEXT;
ALTER TABLE responses ADD COLUMN cost TEXT;

-- How many items of the history were left out to fit the model's context; NULL if none.
ALTER TABLE responses ADD COLUMN truncated INTEGER;
