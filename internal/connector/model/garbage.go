package model

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// isObject reports whether body is one JSON object. The SDKs' own decoders
// take much else for an empty completion.
func isObject(body []byte) bool {
	b := bytes.TrimSpace(body)
	return len(b) > 0 && b[0] == '{' && utf8.Valid(b) && json.Valid(b)
}

func notCompletion() error {
	return fault.New(fault.Unavailable, "the model's answer is not a completion").
		WithHint("check that the Integration's baseURL is the API's and not a web page's, and that its provider is the right one")
}
