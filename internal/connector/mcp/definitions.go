package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// The limits of a server's definitions.
const (
	maxDocument   = 4 << 20   // bytes of all of them
	maxTools      = 500       // of one server
	maxDefinition = 256 << 10 // bytes of one tool's
	maxName       = 128       // bytes, by the specification
	maxText       = 16 << 10  // bytes of a description that is offered to Workers
)

// Definitions is the pinned document: what one server offers, as the operator has
// seen and accepted it.
type Definitions struct {
	ProtocolVersion string `json:"protocolVersion"`
	Server          Server `json:"server"`
	// Tools are their definitions as tools/list gave them, by name.
	Tools     []json.RawMessage `json:"tools"`
	Resources bool              `json:"resources"`
	Prompts   bool              `json:"prompts"`
}

// Server is what a server says of itself; for people, never for judgement.
type Server struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ReadDefinitions reads a document; kind Invalid.
func ReadDefinitions(b []byte) (Definitions, error) {
	var d Definitions
	if len(b) > maxDocument {
		return d, fault.Newf(fault.Invalid, "the definitions are larger than %d MiB", maxDocument>>20)
	}
	o, err := jsonrpc.ReadObject(b)
	if err != nil {
		return d, fault.Wrap(fault.Invalid, "reading the definitions", err)
	}
	for _, m := range o {
		if !slices.Contains([]string{"protocolVersion", "server", "tools", "resources", "prompts"}, m.Key) {
			return d, fault.Newf(fault.Invalid, "the definitions have a member %q, which is none of theirs", fault.Quote(m.Key)).
				WithHint("write the file with: sallyport integration pull NAME")
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fault.New(fault.Invalid, "the definitions are not what sallyport integration pull writes")
	}
	if len(d.Tools) > maxTools {
		return d, fault.Newf(fault.Invalid, "the definitions have more than %d tools", maxTools)
	}
	return d, nil
}

// Write gives the document as it is kept: indented, so that a change of it can be
// read as a diff.
func (d Definitions) Write() ([]byte, error) {
	if d.Tools == nil {
		d.Tools = []json.RawMessage{}
	}
	slices.SortFunc(d.Tools, func(a, b json.RawMessage) int { return strings.Compare(nameOf(a), nameOf(b)) })
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fault.New(fault.Invalid, "the definitions can't be written as JSON")
	}
	return buf.Bytes(), nil
}

// Replace gives the document with one tool's definition replaced, taken out (seen
// is empty) or added.
func (d Definitions) Replace(name string, seen json.RawMessage) Definitions {
	d.Tools = slices.DeleteFunc(slices.Clone(d.Tools), func(t json.RawMessage) bool { return nameOf(t) == name })
	if len(seen) > 0 {
		d.Tools = append(d.Tools, seen)
	}
	return d
}

// nameOf is a definition's name; "" where it has none, or could be read in two ways.
func nameOf(def json.RawMessage) string {
	o, err := jsonrpc.ReadObject(def)
	if err != nil {
		return ""
	}
	name, _ := o.Text("name")
	return name
}

// Pin is the SHA-256 (hex) of a tool's whole definition in one form: keys sorted, no
// white space. Numbers stay as they are written: schemas have ones that no float64
// holds. What can't be read pins to nothing.
func Pin(def json.RawMessage) string {
	b, err := plainForm(def)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// plainForm writes JSON with its keys sorted.
func plainForm(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, fault.New(fault.Invalid, "the definition is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.New(fault.Invalid, "the definition is not JSON")
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fault.New(fault.Invalid, "the definition can't be written")
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

// definition is one tool's, as far as it means something to us.
type definition struct {
	Name, Title, Description  string
	InputSchema, OutputSchema json.RawMessage // empty: there is none
}

// unseen are characters that people don't see, or that turn what they see: a model reads
// what is written with them all the same. Joiners, which scripts and pictures need, are
// none of them.
var unseen = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x200B, Hi: 0x200B, Stride: 1}, {Lo: 0x202A, Hi: 0x202E, Stride: 1}, {Lo: 0x2060, Hi: 0x206F, Stride: 1}, {Lo: 0xFEFF, Hi: 0xFEFF, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0xE0000, Hi: 0xE0FFF, Stride: 1}},
}

// readDefinition checks one tool's definition by itself; kind Invalid.
func readDefinition(b json.RawMessage) (definition, error) {
	var d definition
	if len(b) > maxDefinition {
		return d, fault.Newf(fault.Invalid, "its definition is larger than %d KiB", maxDefinition>>10)
	}
	o, err := jsonrpc.ReadObject(b)
	if err != nil {
		return d, fault.Wrap(fault.Invalid, "its definition can't be read", err)
	}
	for key, to := range map[string]*string{"name": &d.Name, "title": &d.Title, "description": &d.Description} {
		v, there := o.Get(key)
		if there && json.Unmarshal(v, to) != nil {
			return d, fault.New(fault.Invalid, "its definition has a member of the wrong type")
		}
	}
	d.InputSchema, _ = o.Get("inputSchema")
	d.OutputSchema, _ = o.Get("outputSchema")
	plain, err := plainForm(b)
	if err != nil {
		return d, err
	}
	if bytes.ContainsFunc(plain, func(r rune) bool { return unicode.Is(unseen, r) }) {
		return d, fault.New(fault.Invalid, "its definition has characters that nobody sees, and that a model reads")
	}
	if d.Name == "" || len(d.Name) > maxName || strings.ContainsFunc(d.Name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return d, fault.Newf(fault.Invalid, "its name is empty, longer than %d bytes, or not plain ASCII", maxName)
	}
	return d, nil
}

// OurName is a tool's name as ours are: letters, digits, "-" and single "_".
func OurName(name string) string {
	var b strings.Builder
	for _, r := range name {
		ok := r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		switch {
		case ok:
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return strings.Trim(b.String(), "_")
}
