package api

import (
	"io"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Backends are what Secrets can point to, as the server has it.
type Backends struct {
	Backends []vault.BackendState `json:"backends"`
}

func (a *API) backends() {
	handle(a, "GET", "/v1/doctor/backends", "List the backends that Secrets can point to: whether they answer, whether they tell of changes, and how many credentials of Runs they have made", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Backends, error) {
		all, err := a.Vault.Backends(c.Context(), c.who.Tenant)
		return Backends{emptied(all)}, err
	})
	handle(a, "POST", "/v1/doctor/backends/{backend}/ask", "Sign in at a backend anew, without reading a value, and say what it answers: at most once in five seconds for each", with(ident.Admin), func(c *call, _ none) (vault.Asked, error) {
		return a.Vault.AskBackend(c.Context(), c.who.Tenant, c.PathValue("backend"), c.who)
	})
	handle(a, "POST", "/v1/hooks/backend/{backend}", "Tell that something has changed at a backend: a message signed with the key that the server's file names (Standard Webhooks)", anybody, a.backendHook)
}

// message reads what a stranger has sent, to be compared with its signature.
func (c *call) message() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(c.Body, maxOpen+1))
	if err != nil || len(body) > maxOpen {
		return nil, fault.New(fault.Invalid, "the message is too long, or was cut")
	}
	return body, nil
}

// backendHook has a backend's values asked for again at their next use. A backend
// without a key, and one that there is not, are answered as a wrong signature is.
func (a *API) backendHook(c *call, _ none) (none, error) {
	body, err := c.message()
	if err != nil {
		return none{}, err
	}
	if err := a.Vault.CheckBackendHook(c.PathValue("backend"), c.Header, body); err != nil {
		return none{}, err
	}
	a.Vault.BackendChanged(c.PathValue("backend"))
	return none{}, nil
}
