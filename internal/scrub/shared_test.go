package scrub_test

import (
	"encoding/base64"
	"regexp"
	"strings"

	"sallyport.dev/internal/leaktest"
)

// The encodings, the chunkings and the search are those of every suite that
// looks for leaks.
var (
	kinds    = leaktest.Kinds
	encoders = leaktest.Encoders
	chunkers = leaktest.Chunkers
)

type (
	encoder = leaktest.Encoder
	chunker = leaktest.Chunker
)

var encodingStd = base64.StdEncoding

func leaks(text, value string) string          { return leaktest.Leaks(text, value) }
func asciiUpper(v string) string               { return leaktest.Upper(v) }
func goJSON(v string) string                   { return leaktest.GoJSON(v) }
func perByte(verb string) func(string) string  { return leaktest.PerByte(verb) }
func unicodes(verb string) func(string) string { return leaktest.Unicodes(verb) }

func lead(n int, enc *base64.Encoding) func(string) string { return leaktest.Base64After(n, enc) }

// spaceless is text without white space, for what was wrapped.
func spaceless(t string) string {
	t = regexp.MustCompile(`\\+[nrt]`).ReplaceAllString(t, "")
	return strings.Join(strings.Fields(t), "")
}
