package app

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector"
	connhttp "sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/connector/mcp"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Survey asks a system what it offers to a Connection's credential.
func (a *App) Survey(ctx context.Context, who ident.Principal, conn string) (connector.Survey, error) {
	out, err := a.Gate.Survey(ctx, who, conn)
	if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) { // who may not ask is told nothing
		out.Last = a.Vault.ChildTail(who.Tenant, conn)
	}
	return out, err
}

// ToolChanges lists what servers changed or ask, the newest first.
func (a *App) ToolChanges(ctx context.Context, t ident.Tenant, state connector.ItemState) ([]connector.Item, error) {
	list, err := a.store.ToolChanges(ctx, t, state)
	for n, i := range list {
		list[n] = a.cleanItem(i)
	}
	return list, err
}

// cleanItem scrubs once more, with the secrets of now.
func (a *App) cleanItem(i connector.Item) connector.Item {
	for _, s := range []*string{&i.Tool, &i.Pinned, &i.Seen, &i.Note} {
		*s = a.clean(i.Tenant, *s)
	}
	return i
}

// ToolChange is one of them; kind NotFound.
func (a *App) ToolChange(ctx context.Context, t ident.Tenant, id string) (connector.Item, error) {
	i, err := a.store.ToolChange(ctx, t, id)
	if fault.Is(err, fault.NotFound) {
		return i, fault.New(fault.NotFound, "there is no such change").WithHint("list them with: sallyport integration changes")
	}
	return a.cleanItem(i), err
}

// AcceptTool makes the definition that was seen the pinned one: a new revision of the
// Integration. The tool is a write from then on, unless effect says otherwise: what
// somebody said of the old definition says nothing of the new one.
func (a *App) AcceptTool(ctx context.Context, who ident.Principal, id string, effect resource.Effect, why string) (connector.Item, error) {
	i, why, err := a.openChange(ctx, who, id, why)
	if err != nil {
		return i, err
	}
	if i.Kind != connector.Changed {
		return i, fault.New(fault.Conflict, "what a server asks can't be accepted: nobody answers it").WithHint("dismiss it with: sallyport integration refuse")
	}
	if effect != "" && effect != resource.Read && effect != resource.Write {
		return i, fault.Newf(fault.Invalid, "%q is not an effect", fault.Quote(string(effect))).WithHint("say read or write")
	}
	w, err := a.World(who.Tenant)
	if err != nil {
		return i, err
	}
	in, ok := w.Catalog.Integration(i.Integration)
	if !ok || in.MCP == nil {
		return i, fault.Newf(fault.Conflict, "there is no MCP server %q any more", fault.Quote(i.Integration))
	}
	next, err := repinned(in.Integration, i, effect)
	if err != nil {
		return i, err
	}
	if _, err := a.Apply(ctx, who, []resource.Resource{next}, false, false); err != nil {
		return i, fault.Wrap(fault.KindOf(err), "pinning what was seen", err)
	}
	return a.settle(ctx, who, i, connector.ItemAccepted, why)
}

// repinned is an Integration with the definition of an Item in place of the pinned one.
func repinned(in *resource.Integration, i connector.Item, effect resource.Effect) (*resource.Integration, error) {
	d, err := mcp.ReadDefinitions(in.MCP.Definitions)
	if err != nil {
		return nil, err
	}
	next, m := *in, *in.MCP
	if m.Definitions, err = d.Replace(i.Tool, json.RawMessage(i.Seen)).Write(); err != nil {
		return nil, err
	}
	m.Tools = maps.Clone(m.Tools)
	name := mcp.OurName(i.Tool)
	rule, had := m.Tools[name]
	if rule.Effect = effect; i.Seen == "" {
		delete(m.Tools, name)
	} else if had || effect != "" {
		if m.Tools == nil {
			m.Tools = map[string]resource.ToolRule{}
		}
		rule.Errors = "" // of the old one too
		m.Tools[name] = rule
	}
	next.MCP = &m
	return &next, nil
}

// checkPrograms refuses an Integration that is a program which nobody has allowed on
// this machine; the vault does so again before it is started.
func (a *App) checkPrograms(in []resource.Resource) error {
	for _, r := range in {
		if i, ok := r.(*resource.Integration); ok && i.MCP != nil && i.MCP.Stdio != nil {
			if err := a.Vault.MayRun(i.MCP.Stdio); err != nil {
				return err
			}
		}
	}
	return nil
}

// RefuseTool leaves the tool disabled for as long as it is not as it was accepted; a
// question of a server is seen, and answered by nobody.
func (a *App) RefuseTool(ctx context.Context, who ident.Principal, id, why string) (connector.Item, error) {
	i, why, err := a.openChange(ctx, who, id, why)
	if err != nil {
		return i, err
	}
	return a.settle(ctx, who, i, connector.ItemRefused, why)
}

func (a *App) openChange(ctx context.Context, who ident.Principal, id, why string) (connector.Item, string, error) {
	if !who.Valid() || who.Kind != ident.Person || !who.Has(ident.Builder) {
		return connector.Item{}, "", fault.New(fault.Denied, "only a builder settles what a server changed")
	}
	i, err := a.ToolChange(ctx, who.Tenant, id)
	if err != nil {
		return i, "", err
	}
	if i.State != connector.ItemOpen {
		return i, "", fault.Newf(fault.Conflict, "the change was %s already", i.State)
	}
	why, err = a.reason(who.Tenant, why)
	return i, why, err
}

func (a *App) settle(ctx context.Context, who ident.Principal, i connector.Item, to connector.ItemState, why string) (connector.Item, error) {
	i.State, i.By, i.SettledAt, i.Note = to, who.String(), a.now(), why
	return i, a.store.SettleToolChange(ctx, i, audit.Event{Type: audit.ToolSettled, Tenant: who.Tenant, At: i.SettledAt, Actor: who.String(), Connection: i.Connection,
		Fields: map[string]any{"kind": string(i.Kind), "name": i.ID, "state": string(to), "system": i.Integration, "why": why}})
}

// Systems lists what is applied of Integrations, by name.
func (a *App) Systems(t ident.Tenant) ([]connector.System, error) {
	w, err := a.World(t)
	if err != nil {
		return nil, err
	}
	var out []connector.System
	for _, r := range w.Catalog.Resources() {
		in, ok := r.(*resource.Integration)
		if !ok {
			continue
		}
		out = append(out, a.system(t, w.Catalog, in))
	}
	return out, nil
}

func (a *App) system(t ident.Tenant, s interface {
	Resources() []resource.Resource
	Integration(string) (*catalog.Integration, bool)
}, in *resource.Integration) connector.System {
	built, _ := s.Integration(in.Name)
	out := connector.System{Name: in.Name, Title: in.Title, Kind: "http", Origin: built.Kind.Origin().String(), Revision: built.Revision}
	switch {
	case in.Model != nil:
		out.Kind = "model"
	case in.MCP != nil:
		out.Kind = "mcp"
	}
	for _, tool := range built.Kind.Tools() {
		out.Tools = append(out.Tools, connector.Offered{Name: tool.Name, Title: a.clean(t, fault.Quote(tool.Title)), Effect: tool.Effect, Digest: tool.Digest})
	}
	switch k := built.Kind.(type) {
	case *mcp.Kind:
		for _, s := range k.Skipped() {
			out.Skipped = append(out.Skipped, s.Name+": "+s.Why)
		}
	case *connhttp.Kind:
		for _, s := range k.Skipped() {
			out.Skipped = append(out.Skipped, s.Place+": "+s.Why)
		}
	}
	for _, r := range s.Resources() {
		if c, ok := r.(*resource.Connection); ok && c.Integration == in.Name {
			out.Connections = append(out.Connections, c.Name)
		}
	}
	slices.Sort(out.Connections)
	return out
}
