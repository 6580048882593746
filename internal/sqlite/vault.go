package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

var _ vault.Store = (*Store)(nil)

// LoadVault reads everything in one transaction.
func (s *Store) LoadVault(ctx context.Context) (vault.Snapshot, error) {
	tx, err := s.ro.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return vault.Snapshot{}, storeErr("reading the vault", err)
	}
	defer tx.Rollback() // it only read
	snap := vault.Snapshot{Changes: map[ident.Tenant]int64{}}
	for _, part := range []func() error{
		func() error { return loadSeals(ctx, tx, &snap) },
		func() error { return loadProjects(ctx, tx, &snap) },
		func() (err error) {
			snap.Registers, err = loadVaultRows(ctx, tx, "SELECT tenant, '', rev, body, mac FROM vault_register")
			return err
		},
		func() (err error) {
			snap.Secrets, err = loadVaultRows(ctx, tx, "SELECT tenant, name, rev, body, mac FROM vault_secret")
			return err
		},
		func() error { return loadVersions(ctx, tx, &snap) },
		func() error { return countChanges(ctx, tx, &snap) },
	} {
		if err := part(); err != nil {
			return vault.Snapshot{}, storeErr("reading the vault", err)
		}
	}
	return snap, nil
}

// each runs a query and hands every row to scan.
func each(ctx context.Context, tx *sql.Tx, query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() // rows.Err is returned
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func loadSeals(ctx context.Context, tx *sql.Tx, snap *vault.Snapshot) error {
	return each(ctx, tx, `SELECT vault, generation, kind, id, params, box, check_value, created_at
		FROM vault_seal ORDER BY generation DESC, created_at, id`, func(r *sql.Rows) error {
		var row vault.SealRow
		var at int64
		err := r.Scan(&row.Vault, &row.Generation, &row.Sealed.Kind, &row.Sealed.ID, &row.Sealed.Params, &row.Sealed.Box, &row.Check, &at)
		row.CreatedAt = fromMS(at)
		snap.Seals = append(snap.Seals, row)
		return err
	})
}

func loadProjects(ctx context.Context, tx *sql.Tx, snap *vault.Snapshot) error {
	return each(ctx, tx, "SELECT tenant, project, term, wrapped, created_at FROM vault_project", func(r *sql.Rows) error {
		var row vault.ProjectRow
		var at int64
		err := r.Scan(&row.Tenant, &row.Project, &row.Term, &row.Wrapped, &at)
		row.CreatedAt = fromMS(at)
		snap.Projects = append(snap.Projects, row)
		return err
	})
}

func loadVaultRows(ctx context.Context, tx *sql.Tx, query string) (out []vault.Row, err error) {
	err = each(ctx, tx, query, func(r *sql.Rows) error {
		var row vault.Row
		err := r.Scan(&row.Tenant, &row.Name, &row.Rev, &row.Body, &row.MAC)
		out = append(out, row)
		return err
	})
	return out, err
}

func loadVersions(ctx context.Context, tx *sql.Tx, snap *vault.Snapshot) error {
	return each(ctx, tx, "SELECT tenant, name, version, data_key, value FROM vault_version", func(r *sql.Rows) error {
		var row vault.VersionRow
		err := r.Scan(&row.Tenant, &row.Name, &row.Version, &row.Key, &row.Value)
		snap.Versions = append(snap.Versions, row)
		return err
	})
}

// countChanges counts what the audit log has of each tenant's changes. What the
// vault itself refused is no change.
func countChanges(ctx context.Context, tx *sql.Tx, snap *vault.Snapshot) error {
	args := []any{vault.SystemActor}
	for _, t := range audit.SecretChanges {
		args = append(args, string(t))
	}
	in := strings.TrimSuffix(strings.Repeat("?, ", len(audit.SecretChanges)), ", ")
	return each(ctx, tx, "SELECT tenant, count(*) FROM audit_entry WHERE actor <> ? AND type IN ("+in+") GROUP BY tenant", func(r *sql.Rows) error {
		var t ident.Tenant
		var n int64
		err := r.Scan(&t, &n)
		snap.Changes[t] = n
		return err
	}, args...)
}

// SaveSeals adds seals where there are exactly existing ones.
func (s *Store) SaveSeals(ctx context.Context, existing int, add []vault.SealRow, ev audit.Event) error {
	return s.write(ctx, func(tx *Tx) error {
		var n int
		if err := tx.QueryRow("SELECT count(*) FROM vault_seal").Scan(&n); err != nil {
			return storeErr("counting the seals", err)
		}
		if n != existing {
			return fault.New(fault.Conflict, "the vault's seals have changed in the meantime")
		}
		for _, r := range add {
			if err := insertSeal(tx, r); err != nil {
				return err
			}
		}
		return tx.Audit(ev)
	})
}

func insertSeal(tx *Tx, r vault.SealRow) error {
	_, err := tx.Exec(`INSERT INTO vault_seal (vault, generation, kind, id, params, box, check_value, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.Vault, r.Generation, string(r.Sealed.Kind), r.Sealed.ID,
		notNil(r.Sealed.Params), notNil(r.Sealed.Box), notNil(r.Check), ms(r.CreatedAt))
	return err
}

// notNil keeps an empty blob from being NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// RecordVault appends events only.
func (s *Store) RecordVault(ctx context.Context, evs []audit.Event) error {
	return s.write(ctx, func(tx *Tx) error {
		for _, ev := range evs {
			if err := tx.Audit(ev); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveSecret makes one change of one Secret, with its entry in the audit log.
func (s *Store) SaveSecret(ctx context.Context, c vault.Change) error {
	return s.write(ctx, func(tx *Tx) error {
		if p := c.Project; p != nil {
			_, err := tx.Exec("INSERT INTO vault_project (tenant, project, term, wrapped, created_at) VALUES ($1, $2, $3, $4, $5)",
				string(p.Tenant), p.Project, p.Term, p.Wrapped, ms(p.CreatedAt))
			if err != nil {
				return err
			}
		}
		if err := saveHead(tx, c.Secret); err != nil {
			return err
		}
		if err := saveRegister(tx, c.Register); err != nil {
			return err
		}
		if r := c.Version; r != nil {
			_, err := tx.Exec("INSERT INTO vault_version (tenant, name, version, data_key, value) VALUES ($1, $2, $3, $4, $5)",
				string(r.Tenant), r.Name, r.Version, r.Key, r.Value)
			if err != nil {
				return err
			}
		}
		for _, n := range c.Shred {
			if err := shred(tx, c.Secret, n); err != nil {
				return err
			}
		}
		return tx.Audit(c.Event)
	})
}

func saveHead(tx *Tx, r vault.Row) error {
	if r.Rev == 1 {
		return tx.ExecOne("the secret", `INSERT INTO vault_secret (tenant, name, rev, body, mac) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, string(r.Tenant), r.Name, r.Rev, string(r.Body), r.MAC)
	}
	return tx.ExecOne("the secret", "UPDATE vault_secret SET rev = $3, body = $4, mac = $5 WHERE tenant = $1 AND name = $2 AND rev = $3 - 1",
		string(r.Tenant), r.Name, r.Rev, string(r.Body), r.MAC)
}

func saveRegister(tx *Tx, r vault.Row) error {
	if r.Rev == 1 {
		return tx.ExecOne("the register of secrets", `INSERT INTO vault_register (tenant, rev, body, mac) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, string(r.Tenant), r.Rev, string(r.Body), r.MAC)
	}
	return tx.ExecOne("the register of secrets", "UPDATE vault_register SET rev = $2, body = $3, mac = $4 WHERE tenant = $1 AND rev = $2 - 1",
		string(r.Tenant), r.Rev, string(r.Body), r.MAC)
}

// shred overwrites a version's ciphertexts in their place, then deletes the row:
// a deleted row's bytes alone stay in the file's free pages.
func shred(tx *Tx, r vault.Row, version int) error {
	if err := tx.ExecOne("the version", `UPDATE vault_version SET data_key = zeroblob(length(data_key)), value = zeroblob(length(value))
		WHERE tenant = $1 AND name = $2 AND version = $3`, string(r.Tenant), r.Name, version); err != nil {
		return err
	}
	return tx.ExecOne("the version", "DELETE FROM vault_version WHERE tenant = $1 AND name = $2 AND version = $3",
		string(r.Tenant), r.Name, version)
}
