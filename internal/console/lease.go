package console

import (
	"cmp"
	"net/http"
	"slices"

	"sallyport.dev/internal/vault"
)

// maxLeasesShown is how many credentials of Runs one page lists.
const maxLeasesShown = 500

// leasesPage is what backends have made for Runs and is not known to have ended. It has
// no value, and nothing by which a backend ends one.
type leasesPage struct {
	Frame
	Backends []vault.BackendState // that make credentials for Runs
	Leases   []vault.Lease
	All      int // of which those are the first
}

func (*leasesPage) name() string { return "leases" }

func (v *visit) leases() error {
	p := &leasesPage{Frame: Frame{Title: "Credentials of Runs"}}
	all, err := v.Vault.Leases(v.Context(), v.who.Tenant, "")
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b vault.Lease) int {
		return cmp.Or(cmp.Compare(a.Secret, b.Secret), a.Issued.Compare(b.Issued))
	})
	p.All, p.Leases = len(all), all[:min(len(all), maxLeasesShown)]
	backends, err := v.Vault.Backends(v.Context(), v.who.Tenant)
	if err != nil {
		return err
	}
	p.Backends = slices.DeleteFunc(backends, func(b vault.BackendState) bool { return b.MaxLeases == 0 })
	v.render(http.StatusOK, p)
	return nil
}
