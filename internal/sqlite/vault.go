package sqlite

import (
	"context"
	"database/sql"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

var _ vault.Store = (*Store)(nil)

// LoadVault reads everything in one transaction.
func (s *Store) LoadVault(ctx context.Context) (vault.Snapshot, error) {
	tx, err := s.ro.on.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return vault.Snapshot{}, storeErr("reading the vault", err)
	}
	defer tx.Rollback() // it only read
	var snap vault.Snapshot
	for _, part := range []func() error{
		func() error { return loadRoot(ctx, tx, &snap.Ring.Root) },
		func() error { return loadSeals(ctx, tx, &snap.Ring) },
		func() error { return loadProjects(ctx, tx, &snap.Ring) },
		func() (err error) {
			snap.Registers, err = loadVaultRows(ctx, tx, "SELECT tenant, '', rev, body, mac FROM vault_register")
			return err
		},
		func() (err error) {
			snap.Secrets, err = loadVaultRows(ctx, tx, "SELECT tenant, name, rev, body, mac FROM vault_secret")
			return err
		},
		func() error { return loadVersions(ctx, tx, &snap) },
		func() error {
			return tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM audit_head) OR EXISTS (SELECT 1 FROM row_head)").Scan(&snap.Logged)
		},
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

// loadRoot reads the root key's row; the zero RootRow where there is none.
func loadRoot(ctx context.Context, tx *sql.Tx, row *vault.RootRow) error {
	return each(ctx, tx, "SELECT vault, generation, rev, derive, created_at, mac FROM vault_root", func(r *sql.Rows) error {
		if row.Rev != 0 {
			return fault.New(fault.Denied, "the database has the root keys of two vaults")
		}
		var at int64
		err := r.Scan(&row.Vault, &row.Generation, &row.Rev, &row.Derive, &at, &row.MAC)
		row.CreatedAt = fromMS(at)
		return err
	})
}

func loadSeals(ctx context.Context, tx *sql.Tx, ring *vault.Ring) error {
	return each(ctx, tx, `SELECT id, kind, key_id, params, box, public, tag, root, created_at, mac
		FROM vault_seal ORDER BY created_at, id`, func(r *sql.Rows) error {
		var row vault.SealRow
		var at int64
		err := r.Scan(&row.ID, &row.Sealed.Kind, &row.Sealed.ID, &row.Sealed.Params, &row.Sealed.Box, &row.Public, &row.Tag, &row.Root, &at, &row.MAC)
		row.CreatedAt = fromMS(at)
		ring.Seals = append(ring.Seals, row)
		return err
	})
}

func loadProjects(ctx context.Context, tx *sql.Tx, ring *vault.Ring) error {
	return each(ctx, tx, "SELECT tenant, project, term, wrapped, created_at FROM vault_project", func(r *sql.Rows) error {
		var row vault.ProjectRow
		var at int64
		err := r.Scan(&row.Tenant, &row.Project, &row.Term, &row.Wrapped, &at)
		row.CreatedAt = fromMS(at)
		ring.Projects = append(ring.Projects, row)
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

// LastChanges gives the revisions that the vault's own rows have to have. They are
// stored under a MAC that names the audit log's checkpoint; where that is not
// there, they are counted in the log, from the entries that were signed.
func (s *Store) LastChanges(ctx context.Context) (vault.Changes, error) {
	out := vault.Changes{Secrets: map[ident.Tenant]int64{}}
	tenants, err := s.peopled(ctx)
	if err != nil {
		return out, err
	}
	for _, tenant := range tenants {
		var m marks
		if err := s.write(ctx, func(t *Tx) (err error) { m, err = t.rows.marked(tenant); return err }); err != nil {
			return out, fault.Wrap(fault.KindOf(err), "reading how often the vault was changed", err)
		}
		if m[markSecrets] != 0 {
			out.Secrets[tenant] = m[markSecrets]
		}
		if m[markRing] < 0 {
			out.Ring = noMark
		} else if out.Ring >= 0 {
			out.Ring += m[markRing]
		}
	}
	return out, nil
}

// SaveRing replaces the ring where the stored one is at revision was.
func (s *Store) SaveRing(ctx context.Context, was int64, next vault.Ring, evs []audit.Event) error {
	return s.write(ctx, func(tx *Tx) error {
		*tx.shred = true
		if err := saveRoot(tx, was, next.Root); err != nil {
			return err
		}
		// What is deleted is overwritten: the database has secure_delete on.
		for _, table := range []string{"vault_seal", "vault_project"} {
			if _, err := tx.Exec("DELETE FROM " + table); err != nil {
				return err
			}
		}
		for _, r := range next.Seals {
			if _, err := tx.Exec(`INSERT INTO vault_seal (id, kind, key_id, params, box, public, tag, root, created_at, mac)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, r.ID, string(r.Sealed.Kind), r.Sealed.ID,
				notNil(r.Sealed.Params), notNil(r.Sealed.Box), r.Public, r.Tag, r.Root, ms(r.CreatedAt), r.MAC); err != nil {
				return err
			}
		}
		for _, p := range next.Projects {
			if err := insertProject(tx, p); err != nil {
				return err
			}
		}
		if err := tx.rows.mark(evs[0].Tenant, markRing, next.Root.Rev); err != nil {
			return err
		}
		return auditAll(tx, evs)
	})
}

func saveRoot(tx *Tx, was int64, r vault.RootRow) error {
	if was == 0 {
		var n int
		if err := tx.QueryRow("SELECT count(*) FROM vault_root").Scan(&n); err != nil {
			return storeErr("looking for a root key", err)
		}
		if n > 0 {
			return fault.New(fault.Conflict, "the vault has a root key already")
		}
		_, err := tx.Exec("INSERT INTO vault_root (vault, generation, rev, derive, created_at, mac) VALUES ($1, $2, $3, $4, $5, $6)",
			r.Vault, r.Generation, r.Rev, r.Derive, ms(r.CreatedAt), r.MAC)
		return err
	}
	return tx.ExecOne("the vault's ring of keys", "UPDATE vault_root SET generation = $2, rev = $3, derive = $4, created_at = $5, mac = $6 WHERE vault = $1 AND rev = $7",
		r.Vault, r.Generation, r.Rev, r.Derive, ms(r.CreatedAt), r.MAC, was)
}

func insertProject(tx *Tx, p vault.ProjectRow) error {
	_, err := tx.Exec("INSERT INTO vault_project (tenant, project, term, wrapped, created_at) VALUES ($1, $2, $3, $4, $5)",
		string(p.Tenant), p.Project, p.Term, p.Wrapped, ms(p.CreatedAt))
	return err
}

func auditAll(tx *Tx, evs []audit.Event) error {
	for _, ev := range evs {
		if err := tx.Audit(ev); err != nil {
			return err
		}
	}
	return nil
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
	return s.write(ctx, func(tx *Tx) error { return auditAll(tx, evs) })
}

// SaveSecrets makes one change of a tenant's Secrets, with its entry in the audit log.
func (s *Store) SaveSecrets(ctx context.Context, c vault.Change) error {
	return s.write(ctx, func(tx *Tx) error {
		tenant := string(c.Register.Tenant)
		*tx.shred = *tx.shred || len(c.Shred)+len(c.Drop) > 0
		if c.Project != nil {
			if err := insertProject(tx, *c.Project); err != nil {
				return err
			}
		}
		for _, r := range c.Secrets {
			if err := saveHead(tx, r); err != nil {
				return err
			}
		}
		if err := saveRegister(tx, c.Register); err != nil {
			return err
		}
		if err := tx.rows.mark(c.Register.Tenant, markSecrets, c.Register.Rev); err != nil {
			return err
		}
		for _, r := range c.Versions {
			_, err := tx.Exec(`INSERT INTO vault_version (tenant, name, version, data_key, value) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (tenant, name, version) DO UPDATE SET data_key = excluded.data_key, value = excluded.value`,
				tenant, r.Name, r.Version, r.Key, r.Value)
			if err != nil {
				return err
			}
		}
		for _, id := range c.Shred {
			if err := shred(tx, "version", "vault_version", "data_key = zeroblob(length(data_key)), value = zeroblob(length(value))",
				"tenant = $1 AND name = $2 AND version = $3", tenant, id.Name, id.Version); err != nil {
				return err
			}
		}
		for _, term := range c.Drop {
			if err := shred(tx, "project key", "vault_project", "wrapped = zeroblob(length(wrapped))",
				"tenant = $1 AND term = $2", tenant, term); err != nil {
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

// shred overwrites a row's ciphertexts in their place, then deletes the row: a
// deleted row's bytes alone stay in the file's free pages.
func shred(tx *Tx, what, table, zero, where string, args ...any) error {
	if err := tx.ExecOne("the "+what, "UPDATE "+table+" SET "+zero+" WHERE "+where, args...); err != nil {
		return err
	}
	return tx.ExecOne("the "+what, "DELETE FROM "+table+" WHERE "+where, args...)
}
