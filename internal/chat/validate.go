package chat

import (
	"github.com/parley-llm/parley/internal/fault"
)

// CodeInvalid is the code of a request that failed validation; its fault lists every field.
const CodeInvalid = "validation_failed"

func (c *Conversation) validate() error {
	var fields []fault.Field
	if tooLong(c.Title, MaxTitle) {
		fields = append(fields, fault.Field{Location: "body.title", Message: "expected at most 256 characters"})
	}
	if tooLong(c.User, MaxUser) {
		fields = append(fields, fault.Field{Location: "body.user", Message: "expected at most 128 characters"})
	}
	return invalid(append(fields, metadataFields(c.Metadata)...))
}

func validMetadata(m map[string]string) error { return invalid(metadataFields(m)) }

func metadataFields(m map[string]string) []fault.Field {
	var fields []fault.Field
	if len(m) > MaxMetadataPairs {
		fields = append(fields, fault.Field{Location: "body.metadata", Message: "expected at most 16 pairs"})
	}
	longKey, longValue := false, false
	for k, v := range m {
		longKey = longKey || tooLong(k, MaxMetadataKey)
		longValue = longValue || tooLong(v, MaxMetadataValue)
	}
	if longKey {
		fields = append(fields, fault.Field{Location: "body.metadata", Message: "expected keys of at most 64 characters"})
	}
	if longValue {
		fields = append(fields, fault.Field{Location: "body.metadata", Message: "expected values of at most 512 characters"})
	}
	return fields
}

func invalid(fields []fault.Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &fault.Error{Kind: fault.Invalid, Code: CodeInvalid, Message: "The request is not valid.", Fields: fields}
}
