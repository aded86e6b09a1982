package legacy

import "sync"

// maxFailures bounds how many are told one by one.
const maxFailures = 20

// Count says what came of the documents of a collection. In a dry run Imported are those that would be, if they are not there already.
type Count struct {
	Read     int64 `json:"read"`
	Imported int64 `json:"imported"`
	// Present were imported before.
	Present int64 `json:"present"`
	Failed  int64 `json:"failed"`
}

// Failure is a document that was not imported, and why.
type Failure struct {
	Collection string `json:"collection"`
	ID         string `json:"id"`
	Reason     string `json:"reason"`
}

// Report is what came of an import.
type Report struct {
	Conversations Count `json:"conversations"`
	// Messages are those of the conversations that were imported; a message that calls functions counts for each of them.
	Messages  int64 `json:"messages"`
	AuditLogs Count `json:"audit_logs"`
	// Kept are fields that are not known and became metadata, with the number of documents; Dropped are those that could not.
	Kept    map[string]int64 `json:"kept"`
	Dropped map[string]int64 `json:"dropped"`
	// Failures are the first ones; the counts have all.
	Failures []Failure `json:"failures"`

	mu sync.Mutex
}

func newReport() *Report {
	return &Report{Kept: map[string]int64{}, Dropped: map[string]int64{}, Failures: []Failure{}}
}

func (r *Report) note(kept bool, field string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept {
		r.Kept[field]++
	} else {
		r.Dropped[field]++
	}
}

func (r *Report) imported(written bool, messages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Conversations.Read++
	if written {
		r.Conversations.Imported++
		r.Messages += int64(messages)
	} else {
		r.Conversations.Present++
	}
}

func (r *Report) logged(written, read int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.AuditLogs.Read += int64(read)
	r.AuditLogs.Imported += int64(written)
	r.AuditLogs.Present += int64(read - written)
}

func (r *Report) failed(count *Count, collection string, id any, err error) {
	name, _ := idOf(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	count.Read++
	count.Failed++
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{Collection: collection, ID: name, Reason: err.Error()})
	}
}
