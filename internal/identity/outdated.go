package identity

import (
	"context"
	"crypto/fips140"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// errOutdated is for what an account got before FIPS 140-only mode was enforced.
var errOutdated = fault.New(fault.Unavailable, "the account's password or one-time codes were made outside FIPS 140 mode, which refuses their algorithms").
	WithHint("start once with GODEBUG=fips140=on, which still reads them, and have an admin reset the account; docs/fips.md has the steps")

// outdated says why the account can't be proved in FIPS 140-only mode, or nil.
// A stored password that can't be read is not called outdated.
func (r *Record) outdated() error {
	if !fips140.Enforced() {
		return nil
	}
	if h, err := parseHash(r.Password); err == nil && h.kind == kindArgon || r.Algorithm == SHA1 {
		return errOutdated
	}
	return nil
}

// stranger gives r what a decoy has in place of what FIPS mode can't compute.
// Judging it takes as long as judging a name that nobody has, and whoever tries
// to sign in learns no more: not even that the account exists.
func (r Record) stranger() Record {
	d := decoy(r.Tenant)
	r.Password, r.Algorithm = d.Password, d.Algorithm
	return r
}

// Outdated lists the names of the tenant's accounts that can't sign in since FIPS
// 140-only mode refuses what they were given; none in another mode. A sign-in
// does not say so: the program's log does, at its start.
func (d *Directory) Outdated(ctx context.Context, tenant ident.Tenant) ([]string, error) {
	rs, err := d.store.Accounts(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range rs {
		if r.outdated() != nil && !r.Disabled {
			names = append(names, r.Name)
		}
	}
	return names, nil
}
