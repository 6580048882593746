package vault

import (
	"context"

	"sallyport.dev/internal/vault/kek"
)

type Ring struct {
	Root     RootRow      `json:"root"`
	Seals    []SealRow    `json:"seals"`
	Projects []ProjectRow `json:"projects"`
}

type RootRow struct {
	Vault string `json:"vault"`
	MAC   []byte `json:"mac"`
}

func (v *Vault) Ring() (Ring, error) {
	s, err := v.open()
	if err != nil {
		return Ring{}, err
	}
	return Ring{Root: RootRow{Vault: s.vault}, Seals: s.seals}, nil
}

func (v *Vault) openRing(ctx context.Context, r Ring, seals []kek.Seal) (SealRow, error) {
	return v.unwrapAny(ctx, r.Seals, seals)
}
