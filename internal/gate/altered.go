package gate

import (
	"sallyport.dev/internal/fault"
)

// free refuses an approved request that a known secret stands in by now. Its
// approver read all of it, since the Secret was stored after that; the door would
// refuse it too, but only when the attempt is claimed and the credential resolved.
// It says what the door says, and not which Secret it is: a Worker reads it.
func (g *Gate) free(c *candidate) error {
	set, r := g.Vault.Scrub(c.it.Tenant), c.it.Bound.Request
	texts := []string{r.Method + " " + r.URL, r.Body}
	for name, value := range r.Headers {
		texts = append(texts, name+": "+value)
	}
	for _, text := range texts {
		if len(set.Contains([]byte(text))) > 0 {
			return fault.New(fault.Denied, "the request carries a known secret, which was stored after the action was approved").
				WithHint("an admin finds out which Secret it is; the action can be proposed again when it is gone")
		}
	}
	return nil
}
