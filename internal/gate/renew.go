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
// version ends with that version. A version that is a pointer is its own successor
// where its backend gives another value by now. nil: there is none. The entry comes
// first: no credential is opened that no entry names.
func (g *Gate) renew(ctx context.Context, c *candidate, status int) http.RoundTripper {
	if g.Credentials == nil || c.it.Bound.VersionRule != "active" {
		return nil
	}
	first, used := c.meta, c.external
	for range maxSuccessors {
		why, ok := g.replaced(ctx, c, status)
		if !ok {
			break
		}
		fields := map[string]any{"digest": c.it.Digest, "secret": c.meta.Name, "secretVersion": c.meta.Version, "status": status, "why": why}
		if c.external.Backend != "" {
			fields["backend"], fields["backendVersion"] = c.external.Backend, c.external.Version // that was refused
		}
		if err := g.Credentials.Reopened(ctx, g.event(c, audit.IntentReopened, fields)); err != nil {
			break
		}
		door, err := g.door(ctx, c)
		switch {
		case err == nil && c.meta.Version == first.Version && c.external == used: // the backend has gone back to what was refused
			c.meta = first
			return nil
		case err == nil:
			return door
		}
		if !fault.Is(err, fault.Denied) {
			break
		}
		status = 0 // the successor was refused when it was opened: it may have one by now
	}
	c.meta, c.external = first, used
	return nil
}

// maxSuccessors is how often a call goes on to the version that replaced the one
// before, where it can't be opened.
const maxSuccessors = 3

// replaced says why there is another value for the call than the one that it was
// opened with, and gives the candidate what it is of.
func (g *Gate) replaced(ctx context.Context, c *candidate, status int) (why string, ok bool) {
	was, same := c.meta, false
	why = "the version before was replaced while the call was under way"
	if g.Credentials.Successor(ctx, c.it.Tenant, was.Name, was.Version) == 0 {
		if status != http.StatusUnauthorized || c.external == (vault.External{}) || !g.Vault.Renewed(ctx, c.it.Tenant, was.Name, was.Version, c.external) {
			return "", false
		}
		why, same = "its backend gives another value by now", true
	}
	meta, err := g.Vault.Head(ctx, c.it.Tenant, c.match.Connection.Auth.Secret)
	if err != nil || meta.ID != was.ID || (meta.Version == was.Version) != same {
		return "", false
	}
	c.meta = meta
	return why, true
}
