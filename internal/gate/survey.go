package gate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Notices keeps what a person has to see about a system.
type Notices interface {
	Record(ctx context.Context, events ...audit.Event) error
	// NoteToolChange stores an Item with its entry, once while it is open.
	NoteToolChange(ctx context.Context, i connector.Item, ev audit.Event) error
}

// notice stores what a system changed or asks, for a person. That it could not be
// stored changes nothing about the call: the tool is not called all the same.
func (g *Gate) notice(ctx context.Context, t ident.Tenant, actor, integration, conn string, n connector.Notice) {
	if g.Notices == nil {
		return
	}
	set := g.Vault.Scrub(t)
	clean := func(b []byte) []byte {
		s, _ := set.String(string(b))
		return []byte(s)
	}
	n.Tool, n.Pinned, n.Seen = string(clean([]byte(n.Tool))), clean(n.Pinned), clean(n.Seen)
	i := connector.ItemOf(t, integration, conn, n, g.Now())
	fields := map[string]any{"name": i.ID, "kind": string(i.Kind), "system": integration, "why": i.Why}
	if i.SeenHash != "" {
		fields["digest"] = i.SeenHash
	}
	err := g.Notices.NoteToolChange(ctx, i, audit.Event{Type: audit.ToolChanged, Tenant: t, At: i.At, Actor: actor, Connection: conn, Fields: fields})
	if err != nil {
		g.Log.ErrorContext(ctx, "what a server changed could not be stored for a person", slog.String("integration", integration), slog.Any("kind", fault.KindOf(err)))
	}
}

// surveyTimeout bounds how long a system is asked.
const surveyTimeout = 60 * time.Second

// Survey asks a system what it offers to a Connection's credential, and calls no
// Tool. Of a system that can't be asked it only says whether it can be reached, and
// whether the credential is there and may be used so. Denied: the caller is no builder
// and no admin, a person has stopped the Connection, or its Secret's usage scope refuses
// every call. Invalid: the Secret lacks a field that the scheme takes.
func (g *Gate) Survey(ctx context.Context, who ident.Principal, conn string) (connector.Survey, error) {
	var none connector.Survey
	if !who.Valid() || who.Kind != ident.Person || !who.Has(ident.Admin) && !who.Has(ident.Builder) {
		return none, fault.New(fault.Denied, "only a builder or an admin asks what a system offers")
	}
	w, err := g.World(who.Tenant)
	if err != nil {
		return none, err
	}
	c, ok := w.Catalog.Connection(conn)
	if !ok {
		return none, fault.Newf(fault.NotFound, "there is no Connection %q", fault.Quote(conn))
	}
	in, _ := w.Catalog.Integration(c.Integration)
	list, err := g.Stops.Stops(ctx, who.Tenant)
	if err != nil {
		return none, fault.Wrap(fault.Unavailable, "reading what is stopped", err)
	}
	for _, s := range list {
		if s.Holds(intent.Use{Connection: conn}) {
			return none, &intent.Stopped{Stop: s}
		}
	}
	m := &catalog.Match{Connection: c, Integration: in.Integration, Revision: in.Revision, Kind: in.Kind, Origin: in.Kind.Origin()}
	var meta vault.Meta
	if c.Auth.Scheme != resource.SchemeNone {
		if meta, err = g.Vault.Head(ctx, who.Tenant, c.Auth.Secret); err != nil {
			return none, fault.Wrap(fault.Denied, "looking up the Connection's Secret", err)
		}
	}
	ask, ok := in.Kind.(connector.Surveyor)
	if c.Auth.Scheme != resource.SchemeNone {
		use := vault.DoorSpec{Auth: c.Auth, Origin: m.Origin, Integration: in.Name}
		if ok {
			use.Method = http.MethodPost // each call of a server is one
		}
		if err := meta.Fits(use, g.Now()); err != nil {
			return none, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	if !ok {
		return none, g.reach(ctx, m)
	}
	fields := map[string]any{"system": in.Name}
	if meta.Name != "" {
		fields["secret"], fields["secretVersion"] = meta.Name, meta.Version
	}
	if err := g.Notices.Record(ctx, audit.Event{Type: audit.IntegrationAsked, Tenant: who.Tenant, At: g.Now(), Actor: who.String(), Connection: conn, Fields: fields}); err != nil {
		return none, err
	}
	door, err := g.Vault.Open(ctx, vault.DoorSpec{Tenant: who.Tenant, Secret: meta.Name, Version: meta.Version, Auth: c.Auth, Origin: m.Origin,
		Integration: in.Name, Connection: conn, Stdio: m.Stdio(), Method: http.MethodPost, Base: g.Transport(m), Resource: endpoint(in.Integration)})
	if err != nil {
		return none, err
	}
	out, err := ask.Survey(ctx, door, fmt.Sprintf("%s/%s/%s@%d", who.Tenant, conn, meta.ID, meta.Version))
	for _, n := range out.Notices {
		g.notice(ctx, who.Tenant, who.String(), in.Name, conn, n)
	}
	return out, err
}

// reach connects to a system, without a credential and without asking for anything.
func (g *Gate) reach(ctx context.Context, m *catalog.Match) error {
	_, _, err := dial.Send(ctx, g.Transport(m), intent.Request{Method: http.MethodHead, URL: dial.URL(m.Origin) + "/"}, dial.Call{Timeout: 15 * time.Second, MaxBody: 1 << 20})
	return err
}

// endpoint is the URL that a token for a system is for; "" where there is none.
func endpoint(in *resource.Integration) string {
	if in.MCP == nil {
		return ""
	}
	return in.MCP.URL
}
