package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	connhttp "sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/connector/mcp"
	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// World gives what a tenant has applied, compiled. A tenant without anything has
// an empty one, whose policy denies.
func (a *App) World(t ident.Tenant) (gate.World, error) {
	w, version := a.worlds.Get(t)
	if version == 0 || w.Catalog == nil {
		return gate.World{}, fault.Newf(fault.Unavailable, "the configuration of the tenant %s is not loaded", t)
	}
	return w, nil
}

// goal is a Mission's goal, as it is applied now.
func (a *App) goal(t ident.Tenant, mission string) string {
	w, err := a.World(t)
	if err != nil {
		return ""
	}
	m, ok := w.Catalog.Mission(mission)
	if !ok {
		return ""
	}
	return m.Goal
}

// loadWorlds compiles what every tenant has applied.
func (a *App) loadWorlds(ctx context.Context) error {
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(tenants, a.cfg.Tenant) {
		tenants = append(tenants, a.cfg.Tenant)
	}
	for _, t := range tenants {
		stored, err := a.store.Resources(ctx, t)
		if fault.Is(err, fault.Denied) {
			// Not the set that was applied last: nothing is admitted, and the
			// server starts all the same, so that somebody can look.
			a.log.ErrorContext(ctx, "the applied resources are refused: nothing is admitted", slog.String("tenant", string(t)), slog.String("why", err.Error()))
			a.worlds.Set(t, gate.World{})
			continue
		}
		if err != nil {
			return err
		}
		w, err := a.compile(ctx, t, stored)
		if err != nil {
			return fault.Wrap(fault.Invalid, "compiling what is applied for the tenant "+string(t), err)
		}
		a.worlds.Set(t, w)
	}
	return nil
}

// compile makes a world of resources; nothing is stored.
func (a *App) compile(ctx context.Context, t ident.Tenant, stored []sqlite.StoredResource) (gate.World, error) {
	prev, _ := a.worlds.Get(t)
	src := catalog.Source{Previous: prev.Catalog, Revisions: map[catalog.Key]int64{}, TeamIDs: map[string]string{}}
	for _, s := range stored {
		src.Resources = append(src.Resources, s.Resource)
		src.Revisions[keyOf(s.Resource)] = s.Revision
	}
	teams, err := a.Directory.Teams(ctx, t)
	if err != nil {
		return gate.World{}, err
	}
	for _, team := range teams {
		src.TeamIDs[team.Name] = team.ID
	}
	return compile(src)
}

// Compile checks resources as an apply of them, and of nothing else, would. The
// error joins everything that is wrong, each part a [*catalog.Problem] or a
// [*policy.Problem].
func Compile(rs []resource.Resource) (gate.World, error) {
	return compile(catalog.Source{Resources: rs, Revisions: map[catalog.Key]int64{}, TeamIDs: map[string]string{}})
}

func compile(src catalog.Source) (gate.World, error) {
	src.NewKind = newKind
	snap, err := catalog.Build(src)
	if err != nil {
		return gate.World{}, err
	}
	if err := errors.Join(checkAuth(snap), checkIssuers(snap)); err != nil {
		return gate.World{}, err
	}
	var policies []resource.Policy
	for _, r := range src.Resources {
		if p, ok := r.(*resource.Policy); ok {
			policies = append(policies, *p)
		}
	}
	set, err := policy.Compile(policies, policyWorld(snap))
	if err != nil {
		return gate.World{}, err
	}
	return gate.World{Catalog: snap, Policy: set}, nil
}

// checkAuth asks each Integration whether a credential can stand where the
// Connection puts it: a query parameter that a Tool has as an argument can't.
func checkAuth(s *catalog.Snapshot) error {
	var errs []error
	for _, r := range s.Resources() {
		c, ok := r.(*resource.Connection)
		if !ok {
			continue
		}
		in, _ := s.Integration(c.Integration)
		k, ok := in.Kind.(interface{ CheckAuth(resource.Auth) error })
		if !ok {
			continue
		}
		if err := k.CheckAuth(c.Auth); err != nil {
			p := &catalog.Problem{Key: catalog.Key{Kind: resource.KindConnection, Name: c.Name}}
			p.Path = "auth"
			p.Err = fault.Newf(fault.Invalid, "%s", err)
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

func newKind(in *resource.Integration) (connector.Kind, error) {
	switch {
	case in.Model != nil:
		return model.New(in)
	case in.MCP != nil:
		return mcp.New(in)
	}
	return connhttp.New(in)
}

// policyWorld is what policies may speak about.
func policyWorld(s *catalog.Snapshot) policy.World {
	var w policy.World
	for _, r := range s.Resources() {
		name := r.Header().Name
		switch r.Header().Kind {
		case resource.KindConnection:
			w.Connections = append(w.Connections, name)
		case resource.KindMission:
			w.Missions = append(w.Missions, name)
		case resource.KindTeam:
			w.Teams = append(w.Teams, name)
		case resource.KindIntegration:
			i, _ := s.Integration(name)
			for _, t := range i.Kind.Tools() {
				w.Tools = append(w.Tools, policy.Tool{Integration: name, Name: t.Name, Effect: t.Effect, Schema: t.Schema})
			}
		case resource.KindPolicy, resource.KindChannel, resource.KindWorker:
		}
	}
	return w
}

// Apply checks the resources against everything else that is applied, and stores
// all of them or none. prune also removes what is not among them; dry only says
// what would happen. When what is stored is refused, only with prune: then the
// resources are the whole set, and take the place of everything.
func (a *App) Apply(ctx context.Context, who ident.Principal, in []resource.Resource, prune, dry bool) ([]resource.Change, error) {
	if !who.Valid() || !(who.Has(ident.Builder) || who.Kind == ident.System) {
		return nil, fault.New(fault.Denied, "only a builder applies resources").WithHint("sign in with an account that has the role builder")
	}
	if err := a.refuseKnown(who.Tenant, in); err != nil {
		return nil, err
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	stored, err := a.store.Resources(ctx, who.Tenant)
	refused := fault.Is(err, fault.Denied)
	if refused && prune {
		// Nothing of what is stored can be told from what somebody else put
		// there: the whole set is said anew, each change of it on the record.
		stored, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := a.merge(who, stored, in, prune)
	if err != nil {
		return nil, err
	}
	w, err := a.compile(ctx, who.Tenant, p.after)
	if err != nil {
		return nil, err
	}
	if err := a.checkTeams(ctx, who.Tenant, in); err != nil {
		return nil, err
	}
	if err := a.checkOwners(ctx, who.Tenant, in); err != nil {
		return nil, err
	}
	if err := a.checkPrograms(in); err != nil {
		return nil, err
	}
	a.warn(ctx, who.Tenant, w, in, p.report)
	a.warnFew(ctx, who.Tenant, w, p.report)
	if dry {
		return p.report, nil
	}
	apply := a.store.Apply
	if refused {
		apply = a.store.Replace
	}
	if err := apply(ctx, who.Tenant, who.String(), p.changes, a.now()); err != nil {
		return nil, err
	}
	// It is stored: that it also holds does not depend on the client's patience.
	if err := a.reload(context.WithoutCancel(ctx), who.Tenant); err != nil {
		a.worlds.Set(who.Tenant, gate.World{}) // what was replaced must not go on; this one denies everything
		return nil, err
	}
	if refused {
		return a.restated(ctx, who.Tenant, p.report)
	}
	return p.report, nil
}

// restated gives a report the revisions as they were stored: those of a set that
// was said anew begin above all earlier ones.
func (a *App) restated(ctx context.Context, t ident.Tenant, report []resource.Change) ([]resource.Change, error) {
	stored, err := a.store.Resources(ctx, t)
	for _, s := range stored {
		for i, c := range report {
			if keyOf(s.Resource) == (catalog.Key{Kind: c.Kind, Name: c.Name}) {
				report[i].Revision = s.Revision
			}
		}
	}
	return report, err
}

// warn says which Connections and Channels name a Secret that can't be used now, and
// which Connections name one by which every call is refused. It is no
// error: a Secret may be stored after what uses it is applied.
func (a *App) warn(ctx context.Context, t ident.Tenant, w gate.World, in []resource.Resource, report []resource.Change) {
	for i, r := range in {
		ref := ""
		switch r := r.(type) {
		case *resource.Connection:
			ref = r.Auth.Secret
		case *resource.Worker:
			report[i].Warning = a.warnWorker(r)
		case *resource.Channel:
			if ref = r.SecretRef(); !a.Notifier.Links() {
				report[i].Warning = "its messages have no link: the server was started without --public-url"
			}
		}
		if ref == "" {
			continue
		}
		meta, err := a.Vault.Head(ctx, t, ref)
		if c, ok := r.(*resource.Connection); ok && err == nil {
			if in, ok := w.Catalog.Integration(c.Integration); ok {
				if err := meta.Fits(vault.DoorSpec{Auth: c.Auth, Origin: in.Kind.Origin(), Integration: in.Name}, a.now()); err != nil {
					report[i].Warning = err.Error()
				}
			}
		}
		if err != nil {
			report[i].Warning = err.Error()
			if have, err := a.Vault.List(ctx, t); err == nil {
				var names []string
				for _, s := range have {
					names = append(names, s.Name)
				}
				if like := resource.DidYouMean(ref, names); like != "" {
					report[i].Warning += " (" + like + ")"
				}
			}
		}
	}
}

// refuseKnown refuses resources that hold a known secret: they are stored and
// shown as they are, and a Mission's goal is what a model reads.
func (a *App) refuseKnown(t ident.Tenant, in []resource.Resource) error {
	set := a.Vault.Scrub(t)
	for _, r := range in {
		b, err := json.Marshal(r)
		if err != nil {
			return fault.Wrap(fault.Internal, "encoding a resource", err)
		}
		if len(set.Contains(b)) > 0 {
			return fault.Newf(fault.Invalid, "the %s %s holds a known secret", keyOf(r).Kind, a.quoted(t, keyOf(r).Name)).
				WithHint("leave credentials out: a Connection names its Secret")
		}
	}
	return nil
}

// quoted is a name that may be anything, as errors show it.
func (a *App) quoted(t ident.Tenant, name string) string {
	name, _ = a.Vault.Scrub(t).String(name)
	return fault.Quote(name)
}

// reload compiles what is stored now; the ids of new Teams are in it.
func (a *App) reload(ctx context.Context, t ident.Tenant) error {
	stored, err := a.store.Resources(ctx, t)
	if err != nil {
		return err
	}
	w, err := a.compile(ctx, t, stored)
	if err != nil {
		return err
	}
	a.worlds.Set(t, w)
	a.endings.look()
	a.Vault.KeepChildren(t, func(connection string) bool {
		c, ok := w.Catalog.Connection(connection)
		if !ok {
			return false
		}
		in, ok := w.Catalog.Integration(c.Integration)
		return ok && in.MCP != nil && in.MCP.Stdio != nil
	})
	return nil
}

// applyPlan is what an apply comes to.
type applyPlan struct {
	changes []sqlite.ResourceChange
	report  []resource.Change
	after   []sqlite.StoredResource
}

func (a *App) merge(who ident.Principal, stored []sqlite.StoredResource, in []resource.Resource, prune bool) (applyPlan, error) {
	var p applyPlan
	was := map[catalog.Key]sqlite.StoredResource{}
	for _, s := range stored {
		was[keyOf(s.Resource)] = s
	}
	seen := map[catalog.Key]bool{}
	for _, r := range in {
		k := keyOf(r)
		if seen[k] {
			return p, fault.Newf(fault.Invalid, "the %s %s is there twice", k.Kind, k.Name)
		}
		seen[k] = true
		old, existed := was[k]
		same, err := equal(old.Resource, r)
		if err != nil {
			return p, err
		}
		c := resource.Change{Kind: k.Kind, Name: k.Name, Change: "unchanged", Revision: old.Revision}
		if !existed || !same {
			c.Change, c.Revision = "changed", old.Revision+1
			if !existed {
				c.Change = "created"
			}
			p.changes = append(p.changes, a.change(who, k, r, old.Revision, c))
		}
		p.report = append(p.report, c)
		p.after = append(p.after, sqlite.StoredResource{Resource: r, Revision: c.Revision})
	}
	for _, s := range stored {
		k := keyOf(s.Resource)
		switch {
		case seen[k]:
		case prune:
			c := resource.Change{Kind: k.Kind, Name: k.Name, Change: "removed", Revision: s.Revision}
			p.report = append(p.report, c)
			p.changes = append(p.changes, a.change(who, k, nil, s.Revision, c))
		default:
			p.after = append(p.after, s)
		}
	}
	slices.SortStableFunc(p.changes, func(x, y sqlite.ResourceChange) int {
		return cmp.Compare(slices.Index(resource.Kinds, x.Kind), slices.Index(resource.Kinds, y.Kind))
	})
	return p, nil
}

func keyOf(r resource.Resource) catalog.Key {
	h := r.Header()
	return catalog.Key{Kind: h.Kind, Name: h.Name}
}

func equal(a, b resource.Resource) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, fault.Wrap(fault.Internal, "encoding a resource", err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		return false, fault.Wrap(fault.Internal, "encoding a resource", err)
	}
	return bytes.Equal(x, y), nil
}

func (a *App) change(who ident.Principal, k catalog.Key, r resource.Resource, was int64, c resource.Change) sqlite.ResourceChange {
	ev := audit.Event{Type: audit.ResourceApplied, Tenant: who.Tenant, At: a.now(), Actor: who.String(),
		Fields: map[string]any{"kind": k.Kind, "name": k.Name, "revision": c.Revision}}
	if r == nil {
		ev.Type = audit.ResourceRemoved
	} else if body, err := intent.Marshal(r); err == nil {
		ev.Fields["digest"] = intent.SHA256(body)
	}
	return sqlite.ResourceChange{Kind: k.Kind, Name: k.Name, Resource: r, Was: was, Event: ev}
}

// transports keeps one pool of connections for each Integration's revision.
type transports struct {
	mu   sync.Mutex
	pool map[string]pooled
}

type pooled struct {
	kind connector.Kind
	rt   *dial.Pool
}

// of gives the pool of a match's Integration. One whose network rules can't be
// made into a transport sends nothing.
func (t *transports) of(m *catalog.Match) http.RoundTripper {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := m.Integration.Name
	if p, ok := t.pool[name]; ok && p.kind == m.Kind {
		return p.rt
	}
	rt, err := dial.Transport(m.Kind.Network(), dial.Options{})
	if err != nil {
		return refusing{err}
	}
	if old, ok := t.pool[name]; ok {
		old.rt.CloseIdleConnections()
	}
	if t.pool == nil {
		t.pool = map[string]pooled{}
	}
	t.pool[name] = pooled{m.Kind, rt}
	return rt
}

type refusing struct{ err error }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }
