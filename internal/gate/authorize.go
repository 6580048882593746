package gate

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Grants are authorizations by people at the issuers of Connections; see vault.Vault.
type Grants interface {
	BeginGrant(ctx context.Context, g vault.GrantSpec) (vault.Grant, error)
	FinishGrant(ctx context.Context, who ident.Principal, session string, a vault.GrantAnswer, now func(connection string) (vault.DoorSpec, error)) (vault.Grant, error)
}

// Consent says where the issuer sends the person back to, and who may come.
type Consent struct {
	Redirect string // our one URL for answers
	Document string // the URL of our metadata as a client; empty: there is none
	Session  string // the session that has to come back; empty: any of the account's
}

// Authorize begins an authorization by a person for a Connection. Denied: the caller
// is no admin, as for everything that is stored in a Secret, or a person has stopped
// the Connection. It is on the record before the issuer is asked anything.
func (g *Gate) Authorize(ctx context.Context, who ident.Principal, conn string, c Consent) (vault.Grant, error) {
	d, err := g.grantDoor(ctx, who, conn)
	if err != nil {
		return vault.Grant{}, err
	}
	if err := g.Notices.Record(ctx, audit.Event{Type: audit.AuthorizationBegun, Tenant: who.Tenant, At: g.Now(), Actor: who.String(), Connection: conn,
		Fields: map[string]any{"secret": d.Secret, "system": d.Integration}}); err != nil {
		return vault.Grant{}, err
	}
	return g.Grants.BeginGrant(ctx, vault.GrantSpec{Door: d, Redirect: c.Redirect, Document: c.Document, Session: c.Session, Actor: who})
}

// Authorized takes what the issuer sent a person back with. How it ended is on the
// record, without anything of the answer.
func (g *Gate) Authorized(ctx context.Context, who ident.Principal, session string, a vault.GrantAnswer) (vault.Grant, error) {
	if err := grants(who); err != nil {
		return vault.Grant{}, err
	}
	x, err := g.Grants.FinishGrant(ctx, who, session, a, func(conn string) (vault.DoorSpec, error) { return g.grantDoor(ctx, who, conn) })
	if x.ID == "" { // it belongs to nothing
		return x, err
	}
	fields := map[string]any{"secret": x.Secret, "state": string(x.State)}
	if x.Version != 0 {
		fields["secretVersion"] = x.Version
	}
	if err != nil {
		fields["why"] = audit.Short(err.Error())
	}
	// The tokens are stored, or the code is spent: the browser may have gone.
	if rerr := g.Notices.Record(context.WithoutCancel(ctx), audit.Event{Type: audit.AuthorizationEnded, Tenant: who.Tenant, At: g.Now(), Actor: who.String(), Connection: x.Connection, Fields: fields}); err == nil {
		err = rerr
	}
	return x, err
}

// grants refuses who may not authorise.
func grants(who ident.Principal) error {
	if !who.Valid() || who.Kind != ident.Person || !who.Has(ident.Admin) {
		return fault.New(fault.Denied, "only an admin authorises a Connection, as for every value of a Secret")
	}
	return nil
}

// grantDoor is the door that a Connection's tokens are for.
func (g *Gate) grantDoor(ctx context.Context, who ident.Principal, conn string) (vault.DoorSpec, error) {
	var none vault.DoorSpec
	if err := grants(who); err != nil {
		return none, err
	}
	w, err := g.World(who.Tenant)
	if err != nil {
		return none, err
	}
	c, ok := w.Catalog.Connection(conn)
	if !ok {
		return none, fault.Newf(fault.NotFound, "there is no Connection %q", fault.Quote(conn))
	}
	if c.Auth.Scheme != resource.SchemeOAuthUser {
		return none, fault.New(fault.Conflict, "the Connection's credential is none that a person authorises").WithHint("that is the scheme oauth-user")
	}
	list, err := g.Stops.Stops(ctx, who.Tenant)
	if err != nil {
		return none, fault.Wrap(fault.Unavailable, "reading what is stopped", err)
	}
	for _, s := range list {
		if s.Holds(intent.Use{Connection: conn}) {
			return none, &intent.Stopped{Stop: s}
		}
	}
	in, _ := w.Catalog.Integration(c.Integration)
	m := &catalog.Match{Connection: c, Integration: in.Integration, Revision: in.Revision, Kind: in.Kind, Origin: in.Kind.Origin()}
	return vault.DoorSpec{Tenant: who.Tenant, Secret: c.Auth.Secret, Auth: c.Auth, Origin: m.Origin, Integration: in.Name, Connection: conn,
		Method: http.MethodPost, Base: g.Transport(m), Resource: endpoint(in.Integration)}, nil
}

// Linked is a Connection as people look at its credential.
type Linked struct {
	Name        string `json:"name"`
	Integration string `json:"integration"`
	Scheme      string `json:"scheme"`
	Secret      string `json:"secret,omitempty"`
	Issuer      string `json:"issuer,omitempty"`
	Scope       string `json:"scope,omitempty"`
	// Person says that a person authorises it, and Authorized that one has, with the
	// Secret's version of Since.
	Person     bool      `json:"person,omitempty"`
	Authorized bool      `json:"authorized,omitempty"`
	Version    int       `json:"version,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Problem    string    `json:"problem,omitempty"` // why the Secret can't be used
}

// Connections lists what is applied of them, by name.
func (g *Gate) Connections(ctx context.Context, t ident.Tenant) ([]Linked, error) {
	w, err := g.World(t)
	if err != nil {
		return nil, err
	}
	var out []Linked
	for _, r := range w.Catalog.Resources() {
		c, ok := r.(*resource.Connection)
		if !ok {
			continue
		}
		l := Linked{Name: c.Name, Integration: c.Integration, Scheme: string(c.Auth.Scheme), Secret: c.Auth.Secret, Issuer: c.Auth.Issuer, Scope: c.Auth.Scope,
			Person: c.Auth.Scheme == resource.SchemeOAuthUser}
		if c.Auth.Secret != "" {
			m, err := g.Vault.Head(ctx, t, c.Auth.Secret)
			if err != nil {
				l.Problem = err.Error()
			}
			l.Version, l.Since, l.Authorized = m.Version, m.CreatedAt, l.Person && vault.Authorized(m)
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Linked) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
