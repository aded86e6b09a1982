package sqlite

import "maps"

const (
	insertPair = `INSERT INTO conversation_metadata (owner, key, value, conversation) VALUES (?, ?, ?, ?)`
	deletePair = `DELETE FROM conversation_metadata WHERE owner = ? AND key = ? AND value = ? AND conversation = ?`
	selectPair = `SELECT 1 FROM conversation_metadata WHERE owner = ? AND key = ? AND value = ? AND conversation = ?`
)

// savePairs brings what conversations are filtered by from the metadata that a conversation had to that which it has.
func (t *tx) savePairs(owner string, num int64, had, has map[string]string) error {
	if maps.Equal(had, has) {
		return nil
	}
	for k, v := range had {
		if now, kept := has[k]; kept && now == v {
			continue
		}
		if err := t.write(t.prepare(deletePair).text(owner).text(k).text(v).int(num)); err != nil {
			return err
		}
	}
	for k, v := range has {
		if before, kept := had[k]; kept && before == v {
			continue
		}
		if err := t.write(t.prepare(insertPair).text(owner).text(k).text(v).int(num)); err != nil {
			return err
		}
	}
	return nil
}

// deletePairs removes the pairs of a conversation that is being deleted.
func (t *tx) deletePairs(owner string, num int64) error {
	row := &conversationRow{num: num, hasSettings: true}
	if err := t.settings(row, &arena{}); err != nil {
		return err
	}
	return t.savePairs(owner, num, row.Metadata, nil)
}
