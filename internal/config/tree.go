package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// node is a YAML value without YAML's riddles.
type node struct {
	at   place
	kind kind
	// text is a string's value, or how a number is written.
	text  string
	value any  // of a boolean or a number
	plain bool // a text without quotes in which a variable stood
	keys  []*node
	items []*node // a list's, or the values of a mapping's keys
}

type kind string

const (
	aText    kind = "a text"
	aNumber  kind = "a number"
	aBoolean kind = "a boolean"
	aNothing kind = "nothing"
	aList    kind = "a list"
	aMapping kind = "a mapping"
)

// reader turns one file into nodes.
type reader struct {
	*report
	file string
	vars map[string]string
	// document: an OpenAPI document, which is foreign: no variables, no scan
	// for secrets here (the connector has its own), numbers as they come.
	document bool
	// policy: of a rotation. It has no variables, and its keys may be names of a
	// Secret's fields, which say where a value stands: they make none of it one.
	policy bool
}

// read gives the file's documents; nil where there is an error.
func (r *reader) read(b []byte) []*node {
	before := len(r.errs)
	tokens := lexer.Tokenize(string(b))
	if r.guard(tokens); len(r.errs) > before {
		return nil
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	var out []*node
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if n := r.node(d.Body, 0); n != nil && n.kind != aNothing {
			out = append(out, n)
		}
	}
	if len(r.errs) > before {
		return nil
	}
	return out
}

// guard refuses tokens before the parser sees them: it recurses, and an alias
// can make a small file a huge tree.
func (r *reader) guard(tokens token.Tokens) {
	depth, line, entries := 0, 0, 0
	keys := map[int]int{} // by the column in which they stand
	for _, t := range tokens {
		at := r.place(t)
		if at.line != line {
			line, entries = at.line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.DirectiveType:
			r.addf(at, "anchors, aliases, tags, merges and directives are not understood")
			return
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		case token.DocumentHeaderType:
			clear(keys)
		case token.MappingValueType:
			col := r.place(t.Prev).col
			maps.DeleteFunc(keys, func(c, _ int) bool { return c > col })
			if keys[col]++; keys[col] > maxKeys {
				r.add(at, fault.Newf(fault.Invalid, "a mapping has more than %d keys", maxKeys).WithHint("an OpenAPI document of that size has to be JSON"))
				return
			}
		}
		if depth > maxNesting || entries > maxNesting {
			r.addf(at, "it is nested deeper than %d", maxNesting)
			return
		}
		if !r.document && resource.LooksSecret(t.Value) {
			r.add(at, resource.ErrSecret())
		}
	}
}

func (r *reader) place(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{file: r.file}
	}
	return place{file: r.file, line: t.Position.Line, col: t.Position.Column}
}

// syntax reports a parser's error. Only messages that quote nothing are kept.
func (r *reader) syntax(err error) {
	at, msg := place{file: r.file}, ""
	if e, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		at = r.place(e.Token)
		if !strings.ContainsAny(e.Message, `"`) && !resource.LooksSecret(e.Message) {
			msg = ": " + fault.Quote(e.Message)
		}
	}
	r.addf(at, "it is not YAML%s", msg)
}

func (r *reader) node(n ast.Node, depth int) *node {
	out := &node{at: r.place(n.GetToken())}
	if depth > maxNesting {
		r.addf(out.at, "it is nested deeper than %d", maxNesting)
		return nil
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.kind = aMapping
		for _, v := range n.Values {
			r.member(out, v, depth)
		}
		if len(out.keys) > 0 {
			out.at = out.keys[0].at
		}
	case *ast.MappingValueNode:
		out.kind = aMapping
		r.member(out, n, depth)
		if len(out.keys) > 0 {
			out.at = out.keys[0].at
		}
	case *ast.SequenceNode:
		out.kind = aList
		for _, v := range n.Values {
			if e := r.node(v, depth+1); e != nil {
				out.items = append(out.items, e)
			}
		}
	case *ast.StringNode:
		quoted := n.Token != nil && (n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType)
		r.text(out, n.Value, !quoted)
	case *ast.LiteralNode:
		out.at.block, out.at.indent = true, indentOf(n.Value.GetToken())
		r.text(out, n.Value.Value, false)
	case *ast.BoolNode:
		out.kind, out.value = aBoolean, n.Value
	case *ast.NullNode:
		out.kind = aNothing
	case *ast.IntegerNode:
		r.number(out, n.Token, n.Value)
	case *ast.FloatNode:
		r.number(out, n.Token, n.Value)
	default:
		r.addf(out.at, "this kind of YAML value is not understood")
		return nil
	}
	return out
}

// indentOf is how far the first line of a block of text is indented.
func indentOf(t *token.Token) int {
	if t == nil {
		return 0
	}
	for line := range strings.SplitSeq(t.Origin, "\n") {
		if text := strings.TrimLeft(line, " "); text != "" {
			return len(line) - len(text)
		}
	}
	return 0
}

// member adds one key and its value; a repeated key is an error, because of two
// readers one takes the first and one the last.
func (r *reader) member(out *node, v *ast.MappingValueNode, depth int) {
	t := v.Key.GetToken()
	key := &node{at: r.place(t), kind: aText}
	switch k := v.Key.(type) {
	case *ast.StringNode:
		key.text = k.Value
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		key.text = t.Value
	default:
		r.addf(key.at, "a key has to be a plain word")
		return
	}
	for _, k := range out.keys {
		if k.text == key.text {
			r.addf(key.at, "the key %q is here twice; the first is on line %d", fault.Quote(key.text), k.at.line)
			return
		}
	}
	if !r.document && !r.policy && strings.Contains(key.text, "${") {
		r.addf(key.at, "a variable can stand in a value only")
		return
	}
	val := r.node(v.Value, depth+1)
	if val == nil {
		return
	}
	if val.kind == aNothing {
		val.at = key.at
	}
	if !r.document && !r.policy && resource.SecretKey(key.text) && (val.kind == aText || val.kind == aNumber) {
		r.add(val.at, resource.ErrSecret())
		return
	}
	out.keys, out.items = append(out.keys, key), append(out.items, val)
}

var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)?\}?`)

// text puts variables in. $${ stands for a literal ${. What a variable brings
// is a text: it is never read as YAML.
func (r *reader) text(out *node, s string, plain bool) {
	out.kind, out.text = aText, s
	if r.document {
		return
	}
	out.text = variable.ReplaceAllStringFunc(s, func(m string) string {
		if r.policy {
			return m
		}
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := strings.TrimSuffix(strings.TrimPrefix(m, "${"), "}")
		v, ok := r.vars[name]
		switch {
		case name == "" || !strings.HasSuffix(m, "}"):
			r.add(out.at, fault.New(fault.Invalid, "a variable is written ${NAME}").WithHint("write $${ for the characters ${"))
		case !ok:
			r.add(out.at, fault.Newf(fault.Invalid, "the variable %s is not set", fault.Quote(name)).WithHint("set it with: --set %s=VALUE", fault.Quote(name)))
		default:
			out.plain = plain
		}
		return v
	})
	if resource.LooksSecret(out.text) {
		r.add(out.at, resource.ErrSecret())
	}
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?$`)

func (r *reader) number(out *node, t *token.Token, v any) {
	out.kind, out.value, out.text = aNumber, v, t.Value
	if f, ok := v.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) || !r.document && !decimal.MatchString(t.Value) {
		r.add(out.at, fault.New(fault.Invalid, "a number is written in plain decimals").WithHint("put it in quotes if it is a text"))
	}
}

// any is the value as encoding/json would decode it, but for integers.
func (n *node) any() any {
	switch n.kind {
	case aText:
		return n.text
	case aNumber, aBoolean:
		return n.value
	case aList:
		out := make([]any, 0, len(n.items))
		for _, e := range n.items {
			out = append(out, e.any())
		}
		return out
	case aMapping:
		out := map[string]any{}
		for i, k := range n.keys {
			out[k.text] = n.items[i].any()
		}
		return out
	case aNothing:
	}
	return nil
}

// exact is the value with numbers as they are written.
func (n *node) exact() any {
	switch n.kind {
	case aNumber:
		return json.Number(n.text)
	case aList:
		out := make([]any, 0, len(n.items))
		for _, e := range n.items {
			out = append(out, e.exact())
		}
		return out
	case aMapping:
		out := map[string]any{}
		for i, k := range n.keys {
			out[k.text] = n.items[i].exact()
		}
		return out
	case aText, aBoolean, aNothing:
	}
	return n.any()
}

// get finds a mapping's value; nil when it is not there.
func (n *node) get(key string) *node {
	for i, k := range n.keys {
		if k.text == key {
			return n.items[i]
		}
	}
	return nil
}

// toJSON converts a YAML document, which may be JSON already.
func toJSON(r *reader, b []byte) (json.RawMessage, error) {
	if json.Valid(b) {
		return b, nil
	}
	docs := r.read(b)
	if len(docs) != 1 {
		return nil, fmt.Errorf("it has %d documents", len(docs))
	}
	return json.Marshal(docs[0].any())
}
