package sqlite

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/parley-llm/parley/internal/chat"
)

const (
	selectSettings = `SELECT instructions, params, metadata FROM conversation_settings WHERE conversation = ?`
	upsertSettings = `INSERT INTO conversation_settings (conversation, instructions, params, metadata) VALUES (?, ?, ?, ?)
  ON CONFLICT (conversation) DO UPDATE SET instructions = excluded.instructions, params = excluded.params, metadata = excluded.metadata`
	deleteSettings = `DELETE FROM conversation_settings WHERE conversation = ?`
)

// settings is the long part of a conversation as it is stored.
type settings struct {
	instructions     string
	params, metadata []byte
}

func encodeSettings(c *chat.Conversation) (set settings, err error) {
	set.instructions = c.Instructions
	if set.params, err = encode(c.Params); err != nil {
		return settings{}, err
	}
	set.metadata, err = encode(c.Metadata)
	return set, err
}

func (s *settings) any() bool { return s.instructions != "" || s.params != nil || s.metadata != nil }

func (s *settings) bytes() int { return len(s.instructions) + len(s.params) + len(s.metadata) }

// saveSettings writes the settings of a conversation that had some before, or not.
func (t *tx) saveSettings(num int64, set *settings, had bool) error {
	if set.any() {
		return t.write(t.prepare(upsertSettings).int(num).opt(set.instructions).raw(set.params).raw(set.metadata))
	}
	if had {
		return t.write(t.prepare(deleteSettings).int(num))
	}
	return nil
}

func decodeMetadata(raw []byte) (map[string]string, error) {
	if raw == nil {
		return nil, nil
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	return m, nil
}

// encode is nil for a value without content. It leaves <, > and & as they are: what came as JSON is to stay readable.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	raw := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(raw) == 2 || string(raw) == "null" {
		return nil, nil
	}
	return raw, nil
}

// settings reads the long part of a conversation, where it has one.
func (c *conn) settings(row *conversationRow, a *arena) error {
	if !row.hasSettings {
		return nil
	}
	s := c.prepare(selectSettings).int(row.num)
	if found, err := s.next(); err != nil || !found {
		return err
	}
	defer s.reset()
	row.Instructions = s.getText(a)
	if params := s.getRaw(a); params != nil {
		if err := json.Unmarshal(params, &row.Params); err != nil {
			return fmt.Errorf("reading a conversation's params: %w", err)
		}
	}
	var err error
	row.Metadata, err = decodeMetadata(s.getRaw(a))
	return err
}
