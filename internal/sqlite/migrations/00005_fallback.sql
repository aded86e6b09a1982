-- +goose Up

-- The model that was chosen, where that failed and the response's model took its place.
ALTER TABLE responses ADD COLUMN fallback_from TEXT;
