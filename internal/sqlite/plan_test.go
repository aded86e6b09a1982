package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// TestEveryStatementUsesAnIndex keeps the cost of a call from growing with the database: nothing scans a table, counts
// or sorts.
func TestEveryStatementUsesAnIndex(t *testing.T) {
	statements := []string{
		selectConversation, listConversationsUp, listConversationsDown, selectConversationKey, selectSettings, upsertSettings, deleteSettings,
		insertConversation, updateConversation, deleteConversation, selectState, advance,
		insertItem, selectItem, updateItem, deleteItem, selectItemPos, selectCursor, setTitle, supersedeItems, takeUpItems, lastItems, listItemsUp, listItemsDown, excludeItems, contextUp, contextDown,
		lockConversation, unlockConversation, insertResponse, selectRun, setAttempt, endResponse,
		selectResponse, listResponsesUp, listResponsesDown, selectResponseNum, selectInput, selectOutput,
		insertRecord, selectRecord, selectRecordKey, selectMeta, insertMeta, selectLastChain, insertChain, selectHead,
		takeNumber, insertFork, deleteFork, purgeForks, deleteForks, selectFirstNew, copyItems,
		insertPair, deletePair, selectPair, listByUser, listByModel, listByPair, listByCreated, selectFound, walkUp, walkDown, selectConversationAt, selectShown,
		indexDoc, unindexDocs, mergeDocs, selectDoc, selectLastDoc, listTexts, listDocs, listDocsDown, listBelow, selectUnindexed, selectTitle, listUnindexed, selectItemState,
		setMeta, deleteMeta, selectClaim, insertClaim, selectOldestClaim, deleteClaims,
		insertPurge, deletePurge, listPurgeItems, deleteItems, deleteResponses, selectRemaining, listForVerifying,
	}
	s := openNew(t)
	err := s.readers.read(t.Context(), func(c *conn) error {
		for _, q := range []audit.Query{
			{}, {Asc: true}, {Kind: "x"}, {ConversationID: "x"}, {ConversationID: "x", Kind: "x", Asc: true},
		} {
			w, err := newWindow(chat.Page{Desc: !q.Asc}, nil)
			if err != nil {
				return err
			}
			recordRows(c, "default", &q, &w)
		}
		for sql := range c.stmts {
			if strings.HasPrefix(sql, listRecords) {
				statements = append(statements, sql)
			}
		}
		for _, sql := range statements {
			q := c.prepare("EXPLAIN QUERY PLAN " + sql)
			for {
				more, err := q.next()
				if err != nil {
					return fmt.Errorf("%s: %w", sql, err)
				}
				if !more {
					break
				}
				q.skip(3)
				step := q.getText(&arena{})
				if strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN") && !inOrder(step) {
					t.Errorf("%s\n  %s", sql, step)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inOrder are the scans that stop at their first row, or read a table which holds only what is asked for, or one row.
func inOrder(step string) bool {
	switch step {
	case "SCAN chains", "SCAN CONSTANT ROW", "SCAN forks", "SCAN claims", "SCAN sqlite_sequence":
		return true
	}
	// The full-text index is always asked for rows or for a term.
	return strings.HasPrefix(step, "SCAN search VIRTUAL TABLE INDEX ") && !strings.HasSuffix(step, "INDEX 0:")
}

// TestOrphansAreFoundByTheirOwnIndex: there may be millions of responses when a server starts.
func TestOrphansAreFoundByTheirOwnIndex(t *testing.T) {
	s := openNew(t)
	err := s.readers.read(t.Context(), func(c *conn) error {
		q := c.prepare("EXPLAIN QUERY PLAN " + listOrphans)
		defer q.reset()
		if _, err := q.next(); err != nil {
			return err
		}
		q.skip(3)
		if step := q.getText(&arena{}); !strings.Contains(step, "responses_running") {
			t.Error(step)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
