package vault

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// SetMany stores many new Secrets in one change, for benchmarks.
func (v *Vault) SetMany(ctx context.Context, t ident.Tenant, actor ident.Principal, ws []Write) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return err
	}
	c := &change{now: v.cfg.Now(), name: t, actor: actor, event: audit.SecretSet, fields: map[string]any{"secret": "many"}}
	c.copyTenant(s)
	var rows []VersionRow
	for _, w := range ws {
		c.e = &entry{keys: map[int]VersionRow{}, head: Secret{ID: ident.New("sec"), Name: w.Name, Project: defaultProject, CreatedAt: c.now}}
		c.ten.secrets[w.Name] = c.e
		c.touched = append(c.touched, c.e)
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		c.set(n, Active)
		rows = append(rows, c.versions...)
	}
	c.versions = rows
	stored, err := v.finish(c)
	if err != nil {
		return err
	}
	next, all, err := v.rebuild(s, t, c.ten)
	if err != nil {
		return err
	}
	if err := v.store.SaveSecrets(ctx, stored); err != nil {
		return err
	}
	v.publish(next, all)
	return nil
}
