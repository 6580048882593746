package mcpgateway

import (
	"bytes"
	"encoding/json"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/wire/jsonrpc"
)

// Resources and prompts of an upstream server are Tools of its Connection, which the
// connector adds: so they pass the Gate like everything. Here they get the
// protocol's own form again.
const (
	toolListResources = "list_resources"
	toolReadResource  = "read_resource"
	toolListPrompts   = "list_prompts"
	toolGetPrompt     = "get_prompt"
)

// listResources lists what the Mission's Connections have.
func (c *call) listResources() ([]byte, error) {
	return c.gathered(toolListResources, "resources", func(t intent.Tool, o jsonrpc.Object) []byte {
		uri, _ := o.Text("uri")
		return only(o, "uri", c.Names.URI(t.Connection, uri), "name", "title", "description", "mimeType", "size", "annotations")
	})
}

// listPrompts lists what the Mission's Connections have.
func (c *call) listPrompts() ([]byte, error) {
	return c.gathered(toolListPrompts, "prompts", func(t intent.Tool, o jsonrpc.Object) []byte {
		name, _ := o.Text("name")
		return only(o, "name", c.Names.Prompt(t.Connection, name), "title", "description", "arguments")
	})
}

// listTemplates: upstream templates are not listed, since no Tool of ours fills them in.
func (c *call) listTemplates() ([]byte, error) {
	return []byte(`{"resourceTemplates":[]}`), c.onePage()
}

// complete: no argument's values are known here.
func (c *call) complete() ([]byte, error) {
	if _, ok := c.msg.Params.Object("ref"); !ok {
		return nil, badParams("the params have no ref")
	}
	if _, ok := c.msg.Params.Object("argument"); !ok {
		return nil, badParams("the params have no argument")
	}
	return []byte(`{"completion":{"values":[],"total":0,"hasMore":false}}`), nil
}

// gathered asks each Connection that allows the Tool, and puts what they list under
// one field. Who does not answer is left out; if nobody does, that is the answer.
func (c *call) gathered(tool, field string, item func(intent.Tool, jsonrpc.Object) []byte) ([]byte, error) {
	if err := c.onePage(); err != nil {
		return nil, err
	}
	b, err := c.brief(c.r.Context())
	if err != nil {
		if c.who.Kind == ident.Run {
			return nil, err
		}
		return []byte(`{"` + field + `":[]}`), nil // a Worker without a Run has none yet
	}
	out, answered, failed := []byte(`{"`+field+`":[`), 0, error(nil)
	for _, t := range b.Tools {
		if t.Tool != tool || t.Effect != resource.Read {
			continue
		}
		items, err := c.pages(t, field)
		if err != nil {
			failed = err
			continue
		}
		answered++
		for _, raw := range items {
			if o, err := jsonrpc.ReadObject(raw); err == nil {
				out = append(append(out, item(t, o)...), ',')
			}
		}
	}
	if failed != nil && answered == 0 {
		return nil, failed
	}
	return append(bytes.TrimSuffix(out, []byte(",")), ']', '}'), nil
}

// maxPages is how many pages of one upstream server's list are gathered.
const maxPages = 8

// pages are the items of a server's list, page by page.
func (c *call) pages(t intent.Tool, field string) (items []json.RawMessage, err error) {
	args := jsonrpc.Object{}
	for range maxPages {
		res, err := c.upstream(t, args)
		if err != nil {
			return nil, err
		}
		items = append(items, list(res, field)...)
		s, _ := res.Object("structuredContent")
		next, more := s.Text("nextCursor")
		if !more || next == "" {
			break
		}
		args = jsonrpc.Object{{Key: "cursor", Value: jsonrpc.AppendString(nil, next)}}
	}
	return items, nil
}

// readResource reads one.
func (c *call) readResource() ([]byte, error) {
	uri, ok := c.msg.Params.Text("uri")
	if !ok {
		return nil, badParams("the params have no uri")
	}
	connection, upstream, ok := c.Names.UpstreamURI(uri)
	t, err := c.offered(connection, toolReadResource, ok)
	if err != nil {
		return nil, c.noResource(uri, err)
	}
	res, err := c.upstream(t, jsonrpc.Object{{Key: "uri", Value: jsonrpc.AppendString(nil, upstream)}})
	if err != nil {
		return nil, c.noResource(uri, err)
	}
	out := []byte(`{"contents":[`)
	for _, raw := range list(res, "contents") {
		o, err := jsonrpc.ReadObject(raw)
		if err != nil {
			continue
		}
		named := uri
		if own, ok := o.Text("uri"); ok && own != upstream {
			named = c.Names.URI(connection, own)
		}
		out = append(append(out, only(o, "uri", named, "mimeType", "text", "blob")...), ',')
	}
	if out[len(out)-1] == '[' {
		return nil, c.noResource(uri, errNothing)
	}
	return append(bytes.TrimSuffix(out, []byte(",")), ']', '}'), nil
}

var (
	errNothing = fault.New(fault.NotFound, "the resource has no contents")
	errNoSuch  = fault.New(fault.Denied, "the Mission does not hold it")
)

// noResource is the answer for what can't be read, whether it exists or not.
func (c *call) noResource(uri string, err error) error {
	if k := fault.KindOf(err); k == fault.Unavailable || k == fault.Internal || k == fault.Pending {
		return err
	}
	f := &failure{code: jsonrpc.CodeInvalidParams, msg: "the resource can't be read: " + told(err)}
	if c.sess != nil {
		f.code = jsonrpc.CodeNoResource
	}
	f.data, _ = json.Marshal(map[string]string{"uri": uri}) // a text
	return f
}

// getPrompt gets one.
func (c *call) getPrompt() ([]byte, error) {
	name, ok := c.msg.Params.Text("name")
	if !ok {
		return nil, badParams("the params have no name")
	}
	connection, upstream, ok := c.Names.UpstreamPrompt(name)
	t, err := c.offered(connection, toolGetPrompt, ok)
	if err != nil {
		return nil, err
	}
	args := jsonrpc.Object{{Key: "name", Value: jsonrpc.AppendString(nil, upstream)}}
	if given, there := c.msg.Params.Get("arguments"); there {
		args = append(args, jsonrpc.Member{Key: "arguments", Value: given})
	}
	res, err := c.upstream(t, args)
	if err != nil {
		return nil, err
	}
	out := []byte(`{"messages":[`)
	for _, raw := range list(res, "messages") {
		if o, err := jsonrpc.ReadObject(raw); err == nil {
			role, _ := o.Text("role")
			out = append(append(out, only(o, "role", role, "content")...), ',')
		}
	}
	out = append(bytes.TrimSuffix(out, []byte(",")), ']')
	if s, _ := res.Object("structuredContent"); s != nil {
		if d, ok := s.Text("description"); ok {
			out = jsonrpc.AppendString(append(out, `,"description":`...), d)
		}
	}
	return append(out, '}'), nil
}

// offered finds a Connection's Tool. Denied: the Mission does not hold it; not even
// that there is such a Connection is told.
func (c *call) offered(connection, tool string, named bool) (intent.Tool, error) {
	b, err := c.brief(c.r.Context())
	if err != nil {
		return intent.Tool{}, err
	}
	i := slices.IndexFunc(b.Tools, func(t intent.Tool) bool {
		return t.Connection == connection && t.Tool == tool && t.Effect == resource.Read
	})
	if !named || i < 0 {
		return intent.Tool{}, errNoSuch
	}
	return b.Tools[i], nil
}

// upstream takes a read through the Gate and gives the upstream server's result.
// Invalid: it refused. Pending: a person is asked first.
func (c *call) upstream(t intent.Tool, args jsonrpc.Object) (jsonrpc.Object, error) {
	p, err := proposal(t, args)
	if err != nil {
		return nil, err
	}
	it, err := c.admit(p, false)
	if err != nil {
		return nil, err
	}
	if it, err = c.hold(it); err != nil {
		return nil, err
	}
	if it.State.Open() {
		return nil, fault.New(fault.Pending, c.status(it)+"; the decision's id is "+it.ID)
	}
	if it.State != intent.Committed || it.Result == nil || it.Result.ContentType != intent.MCPResult {
		return nil, fault.New(fault.NotFound, line("the server gave none", it.Why))
	}
	o, err := jsonrpc.ReadObject(it.Result.Body)
	if err != nil {
		return nil, errNoResult
	}
	if isError, _ := o.Bool("isError"); isError {
		return nil, fault.New(fault.NotFound, "the server refused it")
	}
	return o, nil
}

// list is a list in a result's structured part, of objects.
func list(res jsonrpc.Object, field string) []json.RawMessage {
	s, _ := res.Object("structuredContent")
	raw, _ := s.Get(field)
	var out []json.RawMessage
	_ = json.Unmarshal(raw, &out) // what is no list has nothing in it
	return out
}

// only copies the members that are known, with a name of ours.
func only(o jsonrpc.Object, key, value string, fields ...string) []byte {
	out := jsonrpc.AppendString([]byte(`{"`+key+`":`), value)
	for _, f := range fields {
		if v, ok := o.Get(f); ok {
			out = append(append(out, `,"`+f+`":`...), v...)
		}
	}
	return append(out, '}')
}
