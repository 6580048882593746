package app

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/vault"
)

// quarantine is where the vault keeps what looks like a secret.
func (a *App) quarantine() incident.Quarantine { return noQuarantine{} }

// noQuarantine is empty.
type noQuarantine struct{}

func (noQuarantine) Promote(context.Context, ident.Tenant, string, string, vault.Write) (vault.Secret, error) {
	return vault.Secret{}, fault.New(fault.NotFound, "nothing is in quarantine")
}

func (noQuarantine) Dismiss(context.Context, ident.Tenant, string, ident.Principal) (vault.Secret, error) {
	return vault.Secret{}, fault.New(fault.NotFound, "nothing is in quarantine")
}
