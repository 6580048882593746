package app

import (
	"context"
	"encoding/json"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// The paths that authorization servers know of.
const (
	callbackPath = "/oauth/callback"
	clientPath   = "/oauth/client.json"
)

// public is where browsers reach the server, without a slash at the end.
func (a *App) public() string {
	switch {
	case a.cfg.PublicURL != "":
		return strings.TrimSuffix(a.cfg.PublicURL, "/")
	case a.cfg.tls():
		return "https://" + a.Addr()
	}
	return "http://" + a.Addr()
}

// Authorize begins an authorization by a person; session is the one that has to bring
// the answer, or empty for any of the account's.
func (a *App) Authorize(ctx context.Context, who ident.Principal, conn, session string) (vault.Grant, error) {
	if a.Addr() == "" && a.cfg.PublicURL == "" {
		return vault.Grant{}, fault.New(fault.Unavailable, "the server has no address yet to come back to")
	}
	c := gate.Consent{Redirect: a.public() + callbackPath, Session: session}
	if a.ClientDocument() != nil {
		c.Document = a.public() + clientPath
	}
	return a.Gate.Authorize(ctx, who, conn, c)
}

// Authorized takes what an issuer sent a person back with.
func (a *App) Authorized(ctx context.Context, who ident.Principal, session string, in vault.GrantAnswer) (vault.Grant, error) {
	return a.Gate.Authorized(ctx, who, session, in)
}

// Authorization is one that the caller began.
func (a *App) Authorization(who ident.Principal, id string) (vault.Grant, error) {
	return a.Vault.ShowGrant(who, id)
}

// ClientDocument says who we are as a client, to issuers that read such documents:
// its URL is the client_id. Nil where the server has no https URL of its own.
func (a *App) ClientDocument() []byte {
	if !strings.HasPrefix(a.cfg.PublicURL, "https://") {
		return nil
	}
	b, err := json.Marshal(map[string]any{
		"client_id": a.public() + clientPath, "client_name": "Sallyport", "client_uri": a.public(), "redirect_uris": []string{a.public() + callbackPath},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	})
	if err != nil {
		return nil
	}
	return b
}
