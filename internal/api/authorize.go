package api

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Authorizer has people authorise Connections at their issuers.
type Authorizer interface {
	// Authorize begins it; the answer comes to the console.
	Authorize(ctx context.Context, who ident.Principal, conn, session string) (vault.Grant, error)
	// Authorization is one that the caller began. NotFound.
	Authorization(who ident.Principal, id string) (vault.Grant, error)
}

// Connections lists them with what is known of their credentials, by name.
type Connections struct {
	Connections []gate.Linked `json:"connections"`
}

func (a *API) connections() {
	handle(a, "GET", "/v1/connections", "List Connections, with what is known of their credentials", readsSecrets, func(c *call, _ none) (Connections, error) {
		l, err := a.Gate.Connections(c.Context(), c.who.Tenant)
		return Connections{emptied(l)}, err
	})
	handle(a, "POST", "/v1/connections/{connection}/authorizations", "Begin to authorise a Connection at its issuer: the URL is for the caller's own browser, where they are signed in to the console", with(ident.Admin),
		func(c *call, _ none) (vault.Grant, error) {
			if err := a.ours(c); err != nil {
				return vault.Grant{}, err
			}
			return a.Authorizer.Authorize(c.Context(), c.who, c.PathValue("connection"), "")
		})
	handle(a, "GET", "/v1/connections/{connection}/authorizations/{authorization}", "Show how far an authorization that the caller began has come", with(ident.Admin), func(c *call, _ none) (vault.Grant, error) {
		g, err := a.Authorizer.Authorization(c.who, c.PathValue("authorization"))
		if err == nil && g.Connection != c.PathValue("connection") {
			return vault.Grant{}, fault.New(fault.NotFound, "there is no such authorization")
		}
		return g, err
	})
}
