package sqlite

import (
	"context"
	"database/sql"

	"sallyport.dev/internal/vault"
)

func loadRing(ctx context.Context, tx *sql.Tx, snap *vault.Snapshot) error {
	if err := loadSeals(ctx, tx, snap); err != nil {
		return err
	}
	snap.Ring.Seals = snap.Seals
	if len(snap.Seals) > 0 {
		snap.Ring.Root.Vault = snap.Seals[0].Vault
	}
	return nil
}
