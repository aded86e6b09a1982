package api

import "time"

// AuditRecord is one entry of the audit log: the fields of its header, flat. What does not apply is left out.
type AuditRecord struct {
	ID             string         `json:"id" example:"aud_06bq3k0v5a9w2m7t1x4z8c6d5e"`
	Object         string         `json:"object" enum:"audit.record"`
	Chain          string         `json:"chain" doc:"The hash chain that seals it."`
	Seq            int64          `json:"seq" doc:"Its place in the chain."`
	Time           time.Time      `json:"time"`
	Kind           string         `json:"kind" example:"llm.intent"`
	Owner          string         `json:"owner,omitempty"`
	Actor          string         `json:"actor,omitempty" doc:"The key it was done with: anonymous without keys, env with PARLEY_API_KEY."`
	User           string         `json:"user,omitempty" doc:"A keyed pseudonym of the conversation's user."`
	ConversationID string         `json:"conversation_id,omitempty"`
	ResponseID     string         `json:"response_id,omitempty"`
	ItemID         string         `json:"item_id,omitempty" doc:"The message or the record that it is about."`
	Attempt        int            `json:"attempt,omitempty" doc:"Which call of the provider, from 1."`
	RequestID      string         `json:"request_id,omitempty"`
	Provider       string         `json:"provider,omitempty"`
	Model          string         `json:"model,omitempty"`
	UpstreamHost   string         `json:"upstream_host,omitempty"`
	Status         string         `json:"status,omitempty"`
	HTTPStatus     int            `json:"http_status,omitempty" doc:"What the provider answered."`
	ErrorCode      string         `json:"error_code,omitempty"`
	FinishReason   string         `json:"finish_reason,omitempty"`
	Usage          *AuditUsage    `json:"usage,omitempty"`
	UsageSource    string         `json:"usage_source,omitempty" doc:"provider, or estimated where the provider reported none."`
	FirstTokenMS   *int64         `json:"first_token_ms,omitempty"`
	DurationMS     *int64         `json:"duration_ms,omitempty"`
	Cost           *Cost          `json:"cost,omitempty"`
	Mask           *AuditMask     `json:"mask,omitempty" doc:"By what the texts were masked, and how much was found."`
	Heads          []AuditHead    `json:"heads,omitempty" doc:"The chains that a starting server saw."`
	Payloads       []AuditPayload `json:"payloads,omitempty"`
	PrevHash       string         `json:"prev_hash" doc:"The hash of the record before it in the chain, in hexadecimal."`
	Hash           string         `json:"hash" doc:"SHA-256 of a zero byte and the header's bytes, in hexadecimal."`
	Header         string         `json:"header,omitempty" doc:"Only in an export: the exact bytes of the header."`
}

// AuditUsage counts tokens.
type AuditUsage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

// AuditMask says how the texts of a record were masked.
type AuditMask struct {
	EngineVersion string         `json:"engine_version"`
	Policy        string         `json:"policy"`
	Counts        map[string]int `json:"counts" doc:"How often each kind of data was masked."`
	Failed        bool           `json:"failed,omitempty" doc:"The masker did not succeed and the text was replaced as a whole."`
}

// AuditPayload is a text that belongs to a record. The text is masked, then cut; it may have been erased since.
type AuditPayload struct {
	Part       string  `json:"part" example:"prompt"`
	Items      int     `json:"items,omitempty" doc:"How many items it stands for, for the context sent."`
	Chars      int     `json:"chars" doc:"The length of the text that was kept, or in bytes of the context that was sent."`
	Stored     bool    `json:"stored,omitempty" doc:"Whether a text was kept at all."`
	Commitment string  `json:"commitment" doc:"A salted commitment to the text, in hexadecimal."`
	Text       *string `json:"text,omitempty" doc:"Only when one record is read, and in an export."`
	Salt       string  `json:"salt,omitempty" doc:"Only in an export: the commitment is HMAC-SHA-256 of part and text with this key; in hexadecimal."`
}

// AuditHead names the last record of a chain.
type AuditHead struct {
	Chain  string `json:"chain"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
	Closed bool   `json:"closed,omitempty"`
}

// AuditExportEnd is the last line of an export, which is no record. An export without it is not whole.
type AuditExportEnd struct {
	Object  string      `json:"object" enum:"audit.export.end"`
	Records int64       `json:"records" doc:"How many records the export holds."`
	Heads   []AuditHead `json:"heads" doc:"The last record of each chain in the export."`
}

// AuditRecordList is one page of audit records, without their texts.
type AuditRecordList struct {
	Page
	Data []AuditRecord `json:"data"`
}
