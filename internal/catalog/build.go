package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Source is what a Snapshot is built from.
type Source struct {
	Resources []resource.Resource // not to be changed afterwards
	Revisions map[Key]int64       // 0 for what is not stored yet
	TeamIDs   map[string]string   // by the Team's name; given when it is first applied
	// NewKind builds an Integration's connector; an error is of kind Invalid.
	NewKind func(*resource.Integration) (connector.Kind, error)
	// Previous lends the connectors of Integrations that have not changed; may
	// be nil.
	Previous *Snapshot
}

// Problem is one thing that is wrong, and with which resource.
type Problem struct {
	Key
	resource.Problem
}

// Error is "Kind name: path: message".
func (p *Problem) Error() string {
	return fmt.Sprintf("%s %s: %s", p.Kind, fault.Quote(p.Name), p.Problem.Error())
}

// Unwrap gives the fault.
func (p *Problem) Unwrap() error { return p.Err }

// Build checks every resource, resolves every reference and makes the matches.
// The error, of kind Invalid, joins a [*Problem] for everything that is wrong.
func Build(src Source) (*Snapshot, error) {
	b := &builder{src: src, s: &Snapshot{
		resources: map[Key]resource.Resource{}, integrations: map[string]*Integration{},
		matches: map[triple]*Match{}, offers: map[string][]MissionTool{}, teams: maps.Clone(src.TeamIDs),
	}}
	b.index()
	b.references()
	if err := b.err(); err != nil {
		return nil, err // what follows relies on references that lead somewhere
	}
	for _, r := range b.s.sorted {
		if i, ok := r.(*resource.Integration); ok {
			b.kind(i)
		}
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	for _, r := range b.s.sorted {
		switch r := r.(type) {
		case *resource.Integration:
			b.rules(r)
		case *resource.Connection:
			b.connection(r)
		case *resource.Mission:
			b.mission(r)
		}
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.s, nil
}

type builder struct {
	src  Source
	s    *Snapshot
	errs []error
}

func (b *builder) err() error { return errors.Join(b.errs...) }

func (b *builder) fail(r resource.Resource, path string, err *fault.Error) {
	b.errs = append(b.errs, &Problem{keyOf(r), resource.Problem{Path: path, Err: err}})
}

func keyOf(r resource.Resource) Key {
	h := r.Header()
	return Key{h.Kind, h.Name}
}

// index checks each resource by itself and sorts them.
func (b *builder) index() {
	for _, r := range b.src.Resources {
		if err := r.Check(); err != nil {
			for _, p := range resource.Problems(err) {
				b.fail(r, p.Path, p.Err)
			}
			continue
		}
		if _, taken := b.s.resources[keyOf(r)]; taken {
			b.fail(r, "name", fault.Newf(fault.Invalid, "the name %q is taken", r.Header().Name))
			continue
		}
		b.s.resources[keyOf(r)] = r
		b.s.sorted = append(b.s.sorted, r)
	}
	slices.SortFunc(b.s.sorted, func(x, y resource.Resource) int {
		kx, ky := keyOf(x), keyOf(y)
		return cmp.Or(cmp.Compare(slices.Index(resource.Kinds, kx.Kind), slices.Index(resource.Kinds, ky.Kind)), cmp.Compare(kx.Name, ky.Name))
	})
}

func (b *builder) references() {
	for _, r := range b.s.sorted {
		for _, ref := range resource.References(r) {
			if _, ok := b.s.resources[Key{ref.Kind, ref.Name}]; !ok {
				b.fail(r, ref.Path, fault.Newf(fault.Invalid, "there is no %s %q", ref.Kind, fault.Quote(ref.Name)).
					WithHint("%s", resource.DidYouMean(ref.Name, b.names(ref.Kind))))
			}
		}
	}
}

func (b *builder) names(k resource.Kind) []string {
	var out []string
	for key := range b.s.resources {
		if key.Kind == k {
			out = append(out, key.Name)
		}
	}
	return out
}

// kind builds an Integration's connector, or takes the previous one.
func (b *builder) kind(i *resource.Integration) {
	in := &Integration{Integration: i, Revision: b.src.Revisions[keyOf(i)]}
	b.s.integrations[i.Name] = in
	// The content decides, not the revision: a trial build has new content
	// under the old revision.
	if was, ok := b.src.Previous.Integration(i.Name); ok && reflect.DeepEqual(was.Integration, i) {
		in.Kind = was.Kind
		return
	}
	path := "http"
	switch {
	case i.Model != nil:
		path = "model"
	case i.MCP != nil:
		path = "mcp"
	}
	k, err := b.src.NewKind(i)
	if err != nil {
		b.fail(i, path, &fault.Error{Kind: fault.Invalid, Err: err, Hint: fault.HintOf(err)})
		return
	}
	for _, t := range k.Tools() {
		if t.Effect != resource.Read && t.Effect != resource.Write || t.Name == "" || t.Digest == "" {
			b.fail(i, path, fault.Newf(fault.Invalid, "the tool %q has no effect or no digest", fault.Quote(t.Name)))
		}
	}
	in.Kind = k
}

// rules checks what an Integration says about its own Tools.
func (b *builder) rules(i *resource.Integration) {
	tools := b.s.integrations[i.Name].Kind.Tools()
	if i.MCP != nil && len(i.MCP.Definitions) > 0 { // before they are pulled nobody knows its Tools
		for _, name := range slices.Sorted(maps.Keys(i.MCP.Tools)) {
			if _, ok := toolOf(tools, name); !ok {
				b.fail(i, "mcp.tools."+name, noTool(name, tools))
			}
			if l := i.MCP.Tools[name].Lookup; l != nil {
				b.lookup(i, "mcp.tools."+name+".lookup", l, tools)
			}
		}
	}
	if i.HTTP == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(i.HTTP.Tools)) {
		path := "http.tools." + name
		if _, ok := toolOf(tools, name); !ok {
			b.fail(i, path, noTool(name, tools))
		}
		if l := i.HTTP.Tools[name].Lookup; l != nil {
			b.lookup(i, path+".lookup", l, tools)
		}
	}
}

func (b *builder) lookup(i *resource.Integration, path string, l *resource.Lookup, tools []connector.Tool) {
	via, _ := find[*resource.Connection](b.s, resource.KindConnection, l.Connection)
	switch t, ok := toolOf(tools, l.Tool); {
	case via.Integration != i.Name:
		b.fail(i, path+".connection", fault.Newf(fault.Invalid, "the Connection %q is to another Integration", l.Connection))
	case !ok:
		b.fail(i, path+".tool", noTool(l.Tool, tools))
	case t.Effect != resource.Read:
		b.fail(i, path+".tool", fault.Newf(fault.Invalid, "the tool %q is not a read", l.Tool))
	case !slices.Contains(via.Tools, l.Tool):
		b.fail(i, path+".tool", fault.Newf(fault.Invalid, "the Connection %q does not allow the tool %q", l.Connection, l.Tool))
	}
}

func toolOf(tools []connector.Tool, name string) (connector.Tool, bool) {
	i := slices.IndexFunc(tools, func(t connector.Tool) bool { return t.Name == name })
	if i < 0 {
		return connector.Tool{}, false
	}
	return tools[i], true
}

func noTool(name string, tools []connector.Tool) *fault.Error {
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return fault.Newf(fault.Invalid, "the Integration has no tool %q", fault.Quote(name)).WithHint("%s", resource.DidYouMean(name, names))
}

func (b *builder) connection(c *resource.Connection) {
	in := b.s.integrations[c.Integration]
	tools := in.Kind.Tools()
	b.scheme(in.Integration, c)
	if len(c.Tools) == 0 && in.MCP == nil {
		b.fail(c, "tools", fault.New(fault.Invalid, "a Connection without tools can't be used").WithHint("list the operationIds that it may be used for"))
	}
	for i, name := range c.Tools {
		path := fmt.Sprintf("tools[%d]", i)
		if _, ok := toolOf(tools, name); !ok {
			b.fail(c, path, noTool(name, tools))
		} else if full := ToolName(c.Name, name); in.Model == nil && len(full) > maxToolName {
			b.fail(c, path, fault.Newf(fault.Invalid, "Workers would know the tool as %q, which is longer than %d characters", fault.Quote(full), maxToolName).
				WithHint("give the Connection a shorter name"))
		}
	}
}

// scheme refuses a credential that the Integration has no place for.
func (b *builder) scheme(in *resource.Integration, c *resource.Connection) {
	child := in.MCP != nil && in.MCP.Stdio != nil
	ok := true
	switch c.Auth.Scheme {
	case resource.SchemeNone:
		ok = in.MCP != nil
	case resource.SchemeEnv, resource.SchemeFile:
		ok = child
	case resource.SchemeOAuthClient:
		ok = in.MCP != nil && !child
	case resource.SchemeBearer, resource.SchemeBasic, resource.SchemeHeader, resource.SchemeQuery,
		resource.SchemeSignature, resource.SchemeAddress, resource.SchemeLogin:
		ok = !child
	}
	if !ok {
		b.fail(c, "auth.scheme", fault.Newf(fault.Invalid, "the Integration %q has no place for a credential of the scheme %s", in.Name, c.Auth.Scheme).
			WithHint("a child process takes env, file or none; an MCP server at a URL takes bearer, basic, header, query, none or oauth-client; all else takes bearer, basic, header or query"))
	}
}
