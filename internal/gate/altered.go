package gate

import (
	"context"

	"sallyport.dev/internal/fault"
)

// free refuses an approved request that a known secret stands in by now. Its
// approver read all of it, since the Secret was stored after that; the door would
// refuse it too, but only when the attempt is claimed and the credential resolved.
// It says what the door says, and not which Secret it is: a Worker reads it.
func (g *Gate) free(ctx context.Context, c *candidate) error {
	set, r := g.Vault.Scrub(c.it.Tenant), c.it.Bound.Request
	texts := []sent{{"URL", r.Method + " " + r.URL}, {"body", r.Body}}
	for name, value := range r.Headers {
		texts = append(texts, sent{"headers", name + ": " + value})
	}
	for _, t := range texts {
		if names := set.Contains([]byte(t.text)); len(names) > 0 {
			if err := g.recordCarried(ctx, c, t.place, names); err != nil {
				return err
			}
			return fault.New(fault.Denied, "the request carries a known secret, which was stored after the action was approved").
				WithHint("an admin finds out which Secret it is; the action can be proposed again when it is gone")
		}
	}
	return nil
}
