package api

import (
	"context"
	"slices"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Integrator knows what systems offer, and settles what they changed.
type Integrator interface {
	Systems(t ident.Tenant) ([]connector.System, error)
	// Survey asks a system through a Connection's credential; it calls no Tool.
	Survey(ctx context.Context, who ident.Principal, conn string) (connector.Survey, error)
	ToolChanges(ctx context.Context, t ident.Tenant, state connector.ItemState) ([]connector.Item, error)
	AcceptTool(ctx context.Context, who ident.Principal, id string, effect resource.Effect, why string) (connector.Item, error)
	RefuseTool(ctx context.Context, who ident.Principal, id, why string) (connector.Item, error)
}

// Systems lists Integrations, by name.
type Systems struct {
	Integrations []connector.System `json:"integrations"`
}

// Pull names the Connection whose credential is used; empty: the only one.
type Pull struct {
	Connection string `json:"connection,omitempty"`
}

// Pulled is what a server offers, as it would be pinned.
type Pulled struct {
	Connection string `json:"connection"`
	Protocol   string `json:"protocol"`
	Document   string `json:"document"` // JSON, scrubbed
}

// Tested is how an Integration does, Connection by Connection.
type Tested struct {
	Integration connector.System   `json:"integration"`
	Connections []TestedConnection `json:"connections"`
}

// TestedConnection is one of them.
type TestedConnection struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Protocol string   `json:"protocol,omitempty"` // the version that a server speaks
	Problem  string   `json:"problem,omitempty"`  // what is wrong
	Hint     string   `json:"hint,omitempty"`
	Changed  []string `json:"changed,omitempty"` // tools that are not as they were accepted
	Last     []string `json:"last,omitempty"`    // what a child wrote last to its standard error, scrubbed
}

// ToolChanges lists what servers changed or ask, the newest first.
type ToolChanges struct {
	Changes []connector.Item `json:"changes"`
}

// SettleTool is a person's word on a change, with a fresh proof.
type SettleTool struct {
	// Effect is that of the tool from then on; write unless said.
	Effect resource.Effect `json:"effect,omitempty"`
	Why    string          `json:"why"` // one line, for the record
	Fresh
}

func (a *API) integrations() {
	builders, readers := with(ident.Builder, ident.Admin), with(ident.Builder, ident.Admin, ident.Auditor)
	handle(a, "GET", "/v1/integrations", "List Integrations with their tools and effects", readers, func(c *call, _ none) (Systems, error) {
		l, err := a.Integrator.Systems(c.who.Tenant)
		return Systems{emptied(l)}, err
	})
	handle(a, "POST", "/v1/integrations/{integration}/pull", "Ask an MCP server for its tools' definitions, through a Connection's credential", builders, func(c *call, in Pull) (Pulled, error) {
		s, err := a.system(c)
		if err != nil {
			return Pulled{}, err
		}
		if in.Connection == "" && len(s.Connections) == 1 {
			in.Connection = s.Connections[0]
		}
		if !slices.Contains(s.Connections, in.Connection) {
			return Pulled{}, fault.New(fault.Invalid, "say through which of its Connections to ask").WithHint("an Integration that has none takes one with tools: [] first")
		}
		if s.Kind != "mcp" {
			return Pulled{}, fault.New(fault.Invalid, "only an MCP server is asked for its definitions")
		}
		got, err := a.Integrator.Survey(c.Context(), c.who, in.Connection)
		return Pulled{in.Connection, got.Protocol, string(got.Document)}, err
	})
	handle(a, "POST", "/v1/integrations/{integration}/test", "Connect to a system for each of its Connections, and say what is wrong", builders, func(c *call, _ none) (Tested, error) {
		s, err := a.system(c)
		if err != nil {
			return Tested{}, err
		}
		out := Tested{Integration: s, Connections: []TestedConnection{}}
		for _, name := range s.Connections {
			got, err := a.Integrator.Survey(c.Context(), c.who, name)
			t := TestedConnection{Name: name, OK: err == nil && len(got.Notices) == 0, Protocol: got.Protocol, Last: got.Last}
			if err != nil {
				t.Problem, t.Hint = err.Error(), fault.HintOf(err)
			}
			for _, n := range got.Notices {
				t.Changed = append(t.Changed, fault.Quote(n.Tool)+": "+n.Why)
			}
			out.Connections = append(out.Connections, t)
		}
		return out, nil
	})
	handle(a, "GET", "/v1/tool-changes", "List what MCP servers changed or ask, the newest first; ?state= (open, accepted or refused)", readers, func(c *call, _ none) (ToolChanges, error) {
		state := connector.ItemState(c.FormValue("state"))
		if state != "" && state != connector.ItemOpen && state != connector.ItemAccepted && state != connector.ItemRefused {
			return ToolChanges{}, fault.New(fault.Invalid, "the state is not open, accepted or refused")
		}
		l, err := a.Integrator.ToolChanges(c.Context(), c.who.Tenant, state)
		return ToolChanges{emptied(l)}, err
	})
	handle(a, "POST", "/v1/tool-changes/{change}/accept", "Pin a tool as it is now, with password and one-time code", with(ident.Builder), func(c *call, in SettleTool) (connector.Item, error) {
		id := c.PathValue("change")
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "tool.accept", "change": id, "effect": string(in.Effect)}); err != nil {
			return connector.Item{}, err
		}
		return a.Integrator.AcceptTool(c.Context(), c.who, id, in.Effect, in.Why)
	})
	handle(a, "POST", "/v1/tool-changes/{change}/refuse", "Leave a tool disabled, or dismiss what a server asks, with password and one-time code", with(ident.Builder), func(c *call, in SettleTool) (connector.Item, error) {
		id := c.PathValue("change")
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "tool.refuse", "change": id}); err != nil {
			return connector.Item{}, err
		}
		return a.Integrator.RefuseTool(c.Context(), c.who, id, in.Why)
	})
}

// system is the one that the path names; kind NotFound.
func (a *API) system(c *call) (connector.System, error) {
	list, err := a.Integrator.Systems(c.who.Tenant)
	if err != nil {
		return connector.System{}, err
	}
	var names []string
	for _, s := range list {
		if s.Name == c.PathValue("integration") {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return connector.System{}, fault.New(fault.NotFound, "there is no Integration of that name").
		WithHint("%s", resource.DidYouMean(c.PathValue("integration"), names))
}
