package mcp

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// Survey asks a server what it offers to one credential, and calls nothing. Errors
// say what is wrong: of kind Denied (401, a refused address), Invalid (no MCP server,
// no version in common), Unavailable.
func (k *Kind) Survey(ctx context.Context, door http.RoundTripper, credential string) (connector.Survey, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	l := &line{k: k, door: door, peer: k.peers.of(credential)}
	if f := l.lock(ctx); f != nil {
		return connector.Survey{}, f.err
	}
	l.peer.seen, l.peer.era = nil, era{} // a person asks how it is now
	l.unlock()
	v, f := l.view(ctx)
	if f != nil {
		return connector.Survey{}, f.err
	}
	d := Definitions{ProtocolVersion: v.era.version, Tools: slices.Clone(v.defs)}
	if f := l.lock(ctx); f != nil {
		return connector.Survey{}, f.err
	}
	about(l.peer.said, &d)
	l.unlock()
	doc, err := d.Write()
	if err != nil {
		return connector.Survey{}, err
	}
	out := connector.Survey{Protocol: v.era.version, Document: doc}
	for _, op := range k.ops {
		if n := v.compare(op); n != nil {
			out.Notices = append(out.Notices, *n)
		}
	}
	slices.SortFunc(out.Notices, func(a, b connector.Notice) int { return strings.Compare(a.Tool, b.Tool) })
	return out, nil
}

// about reads whether a server has resources and prompts, and what it is called,
// from what it said when it was greeted.
func about(said json.RawMessage, d *Definitions) {
	o, err := jsonrpc.ReadObject(said)
	if err != nil {
		return
	}
	if caps, ok := o.Object("capabilities"); ok {
		_, d.Resources = caps.Get("resources")
		_, d.Prompts = caps.Get("prompts")
	}
	info, ok := o.Object("serverInfo")
	if meta, there := o.Object("_meta"); there && !ok {
		info, _ = meta.Object(metaServer)
	}
	name, _ := info.Text("name")
	version, _ := info.Text("version")
	d.Server = Server{fault.Quote(name), fault.Quote(version)}
}
