package vault

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// OpenedBy says whether the vault was unsealed by this seal, from at hand: not by
// what a client brought.
func (v *Vault) OpenedBy(id string) bool {
	by := v.by.Load()
	return by != nil && by.source == "" && by.seal == id
}

// Which gives the id of the vault's seal that this one is, "" when it is none of
// them. It is found by opening, so it takes as long as that: a passphrase's work,
// a service's answer. Unavailable: the vault is sealed, or this can't be reached.
func (v *Vault) Which(ctx context.Context, seal kek.Seal) (string, error) {
	s, err := v.open()
	if err != nil {
		return "", err
	}
	for _, row := range s.seals {
		if row.Sealed.Kind != seal.Kind() || s.refused[row.ID] != nil {
			continue
		}
		secret, err := seal.Unwrap(ctx, secretAAD(s.root.Vault, row.ID), row.Sealed)
		plain.Wipe(secret)
		switch {
		case err == nil:
			return row.ID, nil
		case !fault.Is(err, fault.Denied):
			return "", fault.Wrap(fault.KindOf(err), "looking which seal this is", err)
		}
	}
	return "", nil
}
