package app

import (
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// known names the tenant's Secrets that stand in texts; see decision.Config. A
// sealed vault can't tell one tenant's from another's.
func (a *App) known(t ident.Tenant, texts ...[]byte) ([]string, error) {
	set := a.Vault.Scrub(t)
	if a.Vault.Sealed() {
		return nil, fault.New(fault.Unavailable, "the vault is sealed, so nobody can say whether a Secret's value stands in the action")
	}
	var names []string
	for _, text := range texts {
		names = append(names, set.Contains(text)...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
