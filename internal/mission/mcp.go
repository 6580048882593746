package mission

import (
	"encoding/json"
	"fmt"
	"strings"

	"sallyport.dev/internal/intent"
)

// block is one piece of an MCP result's content.
type block struct {
	Type     string `json:"type"` // text, image, audio, resource_link, resource
	Text     string `json:"text"`
	Data     string `json:"data"` // base64
	MimeType string `json:"mimeType"`
	URI      string `json:"uri"`
	Name     string `json:"name"`
	Resource *struct {
		URI      string `json:"uri"`
		MimeType string `json:"mimeType"`
		Text     string `json:"text"`
		Blob     string `json:"blob"` // base64
	} `json:"resource"`
}

// readable is a result's body as a model reads it. Of an MCP result that is its
// structured content or else its texts; of what is no text, what it is and how
// large.
func readable(r *intent.Result) json.RawMessage {
	if r.ContentType != intent.MCPResult {
		return r.Body
	}
	var m struct {
		Content    []block         `json:"content"`
		Structured json.RawMessage `json:"structuredContent"`
	}
	if json.Unmarshal(r.Body, &m) != nil {
		return r.Body // it was cut: what is left is shown as it is
	}
	if len(m.Structured) > 0 && m.Structured[0] == '{' {
		return m.Structured
	}
	texts := make([]string, len(m.Content))
	for i, b := range m.Content {
		texts[i] = b.text()
	}
	if len(texts) == 1 && json.Valid([]byte(texts[0])) && strings.HasPrefix(strings.TrimSpace(texts[0]), "{") {
		return json.RawMessage(texts[0])
	}
	out, err := json.Marshal(strings.Join(texts, "\n"))
	if err != nil {
		return r.Body // a string always can be encoded
	}
	return out
}

func (b block) text() string {
	switch {
	case b.Type == "text":
		return b.Text
	case b.Type == "resource" && b.Resource != nil && b.Resource.Blob == "":
		return "[" + b.Resource.URI + "]\n" + b.Resource.Text
	case b.Type == "resource" && b.Resource != nil:
		return fmt.Sprintf("[%s: %s, %s]", b.Resource.URI, b.Resource.MimeType, size(b.Resource.Blob))
	case b.Type == "resource_link":
		return "[" + strings.TrimSpace(b.Name+" "+b.URI) + "]"
	default: // an image, a sound, and what comes after this was written
		return fmt.Sprintf("[%s, %s]", b.MimeType, size(b.Data))
	}
}

// size is how much base64 text stands for.
func size(base64 string) string {
	n := len(base64) * 3 / 4
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d kB", (n+500)/1000)
}
