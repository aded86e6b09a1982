package anthropic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/rawjson"
)

// appendContent appends a content, a string or an array of parts, to a list of blocks. Texts of nothing but white space,
// which the protocol refuses, are left out.
func appendContent(dst []byte, content json.RawMessage, part func(dst, part []byte) ([]byte, error)) ([]byte, error) {
	content = bytes.TrimSpace(content)
	if len(content) > 0 && content[0] == '"' {
		return appendText(dst, content, nil), nil
	}
	var err error
	for p := range rawjson.Elements(content) {
		if dst, err = part(dst, p); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// systemPart appends a part of the system prompt, which is text alone.
func systemPart(dst, part []byte) ([]byte, error) {
	if text := textOf(part); text != nil {
		return appendText(dst, text, rawjson.Member(part, "cache_control")), nil
	}
	return nil, unsupported()
}

// appendPart turns a part of the Responses API or the chat protocol into a block. The protocol's own blocks are passed as
// they came.
func appendPart(dst, part []byte) ([]byte, error) {
	if text := textOf(part); text != nil {
		return appendText(dst, text, rawjson.Member(part, "cache_control")), nil
	}
	switch string(rawjson.Member(part, "type")) {
	case `"input_image"`, `"image_url"`:
		return appendImage(dst, part)
	case `"input_file"`:
		return appendFile(dst, part)
	case `"file"`:
		return appendFile(dst, rawjson.Member(part, "file"))
	case `"image"`, `"document"`, `"search_result"`:
		return append(comma(dst), part...), nil
	}
	return nil, unsupported()
}

// textOf is the text of a part, as JSON, nil where it is none.
func textOf(part []byte) []byte {
	name := "text"
	switch string(rawjson.Member(part, "type")) {
	case `"text"`, `"input_text"`, `"output_text"`:
	case `"refusal"`:
		name = "refusal"
	default:
		return nil
	}
	text := rawjson.Member(part, name)
	if len(text) == 0 || text[0] != '"' {
		return []byte(`""`)
	}
	return text
}

// appendText appends a text that is quoted already.
func appendText(dst, text, cacheControl []byte) []byte {
	if blank(text) {
		return dst
	}
	dst = append(comma(dst), `{"type":"text","text":`...)
	dst = append(dst, text...)
	if cacheControl != nil {
		dst = append(rawjson.AppendName(dst, "cache_control"), cacheControl...)
	}
	return append(dst, '}')
}

// blank reports whether a quoted text holds nothing but white space. It does not copy what is not.
func blank(quoted []byte) bool {
	for i := 1; i < len(quoted)-1; i++ {
		switch quoted[i] {
		case ' ':
		case '\\':
			if i++; quoted[i] != 'n' && quoted[i] != 't' && quoted[i] != 'r' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func appendImage(dst, part []byte) ([]byte, error) {
	link := rawjson.Member(part, "image_url")
	if nested := rawjson.Member(link, "url"); nested != nil {
		link = nested
	}
	dst = append(comma(dst), `{"type":"image","source":`...)
	if link == nil {
		return appendFileID(dst, part)
	}
	var address string
	if json.Unmarshal(link, &address) != nil {
		return nil, unsupported()
	}
	if !strings.HasPrefix(address, "data:") {
		return append(appendURL(dst, link), '}'), nil
	}
	kind, data, ok := parseDataURL(address)
	if !ok || !strings.HasPrefix(kind, "image/") {
		return nil, unsupported()
	}
	return append(appendBase64(dst, kind, data), '}'), nil
}

// appendFile takes what the Responses API and the chat protocol say of a file: its data, its address, or its id.
func appendFile(dst, file []byte) ([]byte, error) {
	var data string
	if raw := rawjson.Member(file, "file_data"); raw != nil && json.Unmarshal(raw, &data) != nil {
		return nil, unsupported()
	}
	kind, encoded := "application/pdf", data
	if strings.HasPrefix(data, "data:") {
		var ok bool
		if kind, encoded, ok = parseDataURL(data); !ok {
			return nil, unsupported()
		}
	}
	link := rawjson.Member(file, "file_url")
	switch {
	case strings.HasPrefix(kind, "image/"):
		dst = append(comma(dst), `{"type":"image","source":`...)
		return append(appendBase64(dst, kind, encoded), '}'), nil
	case data == "" && link == nil:
		dst = append(comma(dst), `{"type":"document","source":`...)
		return appendFileID(dst, file)
	}
	dst = append(comma(dst), `{"type":"document","source":`...)
	switch {
	case data == "":
		dst = appendURL(dst, link)
	case kind == "application/pdf":
		dst = appendBase64(dst, kind, encoded)
	default:
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || !utf8.Valid(text) {
			return nil, unsupported()
		}
		dst = append(dst, `{"type":"text","media_type":"text/plain","data":`...)
		dst = append(rawjson.AppendString(dst, string(text)), '}')
	}
	if name := rawjson.Member(file, "filename"); name != nil {
		dst = append(rawjson.AppendName(dst, "title"), name...)
	}
	return append(dst, '}'), nil
}

// appendFileID ends a block whose source is a file that the provider has.
func appendFileID(dst, part []byte) ([]byte, error) {
	id := rawjson.Member(part, "file_id")
	if id == nil {
		return nil, unsupported()
	}
	dst = append(dst, `{"type":"file","file_id":`...)
	return append(append(dst, id...), '}', '}'), nil
}

func appendURL(dst, quoted []byte) []byte {
	dst = append(dst, `{"type":"url","url":`...)
	return append(append(dst, quoted...), '}')
}

func appendBase64(dst []byte, kind, data string) []byte {
	dst = append(dst, `{"type":"base64","media_type":`...)
	dst = rawjson.AppendString(dst, kind)
	dst = rawjson.AppendString(rawjson.AppendName(dst, "data"), data)
	return append(dst, '}')
}

// parseDataURL splits "data:image/png;base64,AAAA". Other encodings than base64 are not understood.
func parseDataURL(address string) (kind, data string, ok bool) {
	head, data, found := strings.Cut(strings.TrimPrefix(address, "data:"), ",")
	head, encoded := strings.CutSuffix(head, ";base64")
	kind, _, err := mime.ParseMediaType(head)
	return kind, data, found && encoded && err == nil
}
