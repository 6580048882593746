package gate

import (
	"context"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Resending: how often, and how long to wait after one that brought no answer.
const (
	maxResends  = 3
	resendFirst = 2 * time.Second
)

// resend sends an UNKNOWN write again under the key that it was sent with: the
// same request, rendered and compared again, under a Decision that still holds.
// It is an attempt of its own, with a higher fence and its audit entry. cause is
// why the system could not be asked; where nothing can be sent either, a person is.
func (g *Gate) resend(ctx context.Context, c *candidate, at commit.Attempt, cause error) (again time.Time, err error) {
	human := func(why string) error {
		return g.closeUnknown(ctx, c, at.Fence, closing{to: intent.NeedsHuman, why: "the system could not be asked: " + cause.Error() + why})
	}
	i, err := g.idempotency(c)
	if err != nil {
		return again, err
	}
	switch {
	case i == nil:
		return again, human("")
	case at.Resent >= maxResends:
		return again, human("; nor did it answer to the same request under the same key")
	case !g.Now().Before(at.Sent.Add(time.Duration(i.Window) / 10 * 9)): // clocks differ, and requests take their time
		return again, human("; and it may have forgotten the request's key")
	}
	rc := &candidate{run: c.run, it: c.it}
	it, err := g.Machine.Execute(ctx, g.plan(rc, intent.Unknown, at))
	defer g.Rail.Wake(c.it.Tenant, c.it.Run)
	switch {
	case err == nil && it.State == intent.Unknown:
		return g.Now().Add(resendFirst << (2 * at.Resent)), nil
	case err == nil, g.Machine.Halted() != nil:
		return again, err
	case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Internal):
		return again, err // nothing was sent; the window bounds how long this goes on
	}
	if now, e := g.Intents.Attempt(ctx, c.it.Tenant, c.it.ID); e != nil || now.Fence != at.Fence {
		return again, e // somebody else took the step
	}
	err = human("; and the same request may not be sent again: " + err.Error())
	if fault.Is(err, fault.Conflict) {
		err = nil
	}
	return again, err
}

// idempotency is what the Tool's Integration declares, as long as the Mission
// holds it; nil: nothing.
func (g *Gate) idempotency(c *candidate) (*resource.Idempotency, error) {
	world, err := g.World(c.it.Tenant)
	if err != nil {
		return nil, err
	}
	m, err := world.Catalog.Match(c.run.Mission, c.it.Connection, c.it.Tool)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // then nothing may be sent, and a person is asked
	}
	return m.Tool.Idempotency, nil
}
