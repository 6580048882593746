package gate

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Standing says why the credential that was made for a Run is to end now, or "": no
// call of the Run is admitted that could use it. Its Run has ended or was stopped, its
// Worker may not act any more, or no Connection is left by which the Run reaches the
// Secret: all of them were stopped, removed, or taken from the Mission. What one of them
// still needs goes on. It is the question that Admit asks, about a credential instead of
// a call; what is resumed has another made.
//
// An error says that it can't be told, and nothing is ended for that: whoever can't
// read the configuration admits no call either.
func (g *Gate) Standing(ctx context.Context, l vault.Lease) (why string, err error) {
	r, err := g.Runs.Run(ctx, l.Tenant, l.Run)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
		return "its Run is not on record", nil
	case err != nil:
		return "", err
	case r.State == intent.RunEnded:
		return "its Run has ended", nil
	}
	stops, err := g.Stops.Stops(ctx, l.Tenant)
	if err != nil {
		return "", err
	}
	if holding(stops, r, "") {
		return "its Run was stopped", nil
	}
	world, err := g.World(l.Tenant)
	if err != nil {
		return "", err
	}
	m, ok := world.Catalog.Mission(r.Mission)
	if !ok {
		return "its Mission was removed", nil
	}
	switch _, err := g.outsiderOf(ctx, r); {
	case fault.Is(err, fault.Denied):
		return "its Worker may not act any more", nil
	case err != nil:
		return "", err
	}
	return reached(world, m, r, stops, l), nil
}

// reached says why a Run reaches a credential by no Connection, or "".
func reached(world World, m *resource.Mission, r intent.Run, stops []intent.Stop, l vault.Lease) string {
	why := "no Connection of its Mission uses its Secret any more"
	for _, name := range append([]string{m.Model}, m.Connections...) {
		c, ok := world.Catalog.Connection(name)
		if !ok || !refers(c.Auth, l) {
			continue
		}
		if !holding(stops, r, name) {
			return ""
		}
		why = "what uses it was stopped"
	}
	return why
}

// refers says whether a Connection's calls may be made with a credential. Without a
// version in its reference they may be with any: one that was decided on is used.
func refers(a resource.Auth, l vault.Lease) bool {
	name, version, err := a.Ref()
	return err == nil && name == l.Secret && (version == 0 || version == l.Version)
}

func holding(stops []intent.Stop, r intent.Run, connection string) bool {
	for _, s := range stops {
		if s.Holds(r.Use(connection)) {
			return true
		}
	}
	return false
}
