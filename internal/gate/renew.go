package gate

import (
	"context"
	"net/http"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Credentials know what calls say of a Secret's versions, and what has replaced
// one.
type Credentials interface {
	// Used is told the status of each answer; 0: there was none.
	Used(t ident.Tenant, secret string, version, status int)
	// Successor gives the version that is active in place of one that was refused,
	// or is so in a moment; 0: none is.
	Successor(ctx context.Context, t ident.Tenant, secret string, version int) int
	// Reopened makes an entry durable.
	Reopened(ctx context.Context, ev audit.Event) error
}

// open opens the door of the version that the claim names. One that was disabled
// since has a successor, which is on the record before it is opened.
func (g *Gate) open(ctx context.Context, c *candidate) (http.RoundTripper, error) {
	door, err := g.door(ctx, c)
	if fault.Is(err, fault.Denied) {
		if next := g.renew(ctx, c, 0); next != nil {
			return next, nil
		}
	}
	return door, err
}

func (g *Gate) door(ctx context.Context, c *candidate) (http.RoundTripper, error) {
	c.external = vault.External{} // what an earlier version led to
	return g.Vault.Open(ctx, vault.DoorSpec{
		Tenant: c.it.Tenant, Secret: c.meta.Name, Version: c.meta.Version,
		Auth: c.match.Connection.Auth, Origin: c.match.Origin, Integration: c.match.Integration.Name,
		Connection: c.it.Connection, Stdio: c.match.Stdio(),
		Method: c.it.Bound.Request.Method, Mission: c.run.Mission, Run: c.it.Run, Base: g.Transport(c.match), Resource: endpoint(c.match.Integration), From: &c.external,
	})
}

// renew opens the successor of a version that was refused with status, where the
// call was decided on with whichever is active: one whose approval is bound to a
// version ends with that version. nil: there is none. The entry comes first: no
// credential is opened that no entry names.
func (g *Gate) renew(ctx context.Context, c *candidate, status int) http.RoundTripper {
	if g.Credentials == nil || c.it.Bound.VersionRule != "active" {
		return nil
	}
	was := c.meta
	if g.Credentials.Successor(ctx, c.it.Tenant, was.Name, was.Version) == 0 {
		return nil
	}
	meta, err := g.Vault.Head(ctx, c.it.Tenant, c.match.Connection.Auth.Secret)
	if err != nil || meta.ID != was.ID || meta.Version == was.Version {
		return nil
	}
	c.meta = meta
	ev := g.event(c, audit.IntentReopened, map[string]any{"digest": c.it.Digest, "secret": meta.Name, "secretVersion": meta.Version, "status": status,
		"why": "the version before was replaced while the call was under way"})
	if err := g.Credentials.Reopened(ctx, ev); err != nil {
		c.meta = was
		return nil
	}
	door, err := g.door(ctx, c)
	if err != nil {
		c.meta = was
		return nil
	}
	return door
}
