package api

import (
	"sallyport.dev/internal/gate"
)

func (a *API) policy() {
	handle(a, "POST", "/v1/policy/explain", "What policy would say about a call, and why; nothing is executed or counted", signedIn,
		func(c *call, in gate.Hypothetical) (gate.Explained, error) {
			in.Source = gate.Source(c.Request)
			return a.Gate.Explain(c.Context(), c.who, in)
		})
}
