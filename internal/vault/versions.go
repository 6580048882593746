package vault

import (
	"context"
	"maps"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Activate makes a version the active one: a pending one that was tried, or an
// earlier one that is gone back to. Conflict: it is active already, or expired.
func (v *Vault) Activate(ctx context.Context, t ident.Tenant, name string, version int, actor ident.Principal) (Secret, error) {
	return v.restate(ctx, t, name, actor, audit.SecretRotated, func(c *change) (int, State, error) {
		return version, Active, c.ready(version)
	})
}

// ready refuses a version that would be active and could not be used.
func (c *change) ready(n int) error {
	if ver, ok := c.e.head.version(n); ok && ver.Scope.Expired(c.now) {
		return fault.Newf(fault.Conflict, "version %d of the secret %s has expired", n, c.e.head.Name).WithHint("rotate it")
	}
	return nil
}

// Rollback makes the version before the active one the active one again, while
// it is in its grace. With to, it has to be that version: what a page has shown.
// Conflict: there is none, it is another, or it is disabled, destroyed or expired.
func (v *Vault) Rollback(ctx context.Context, t ident.Tenant, name string, to int, actor ident.Principal) (Secret, error) {
	return v.restate(ctx, t, name, actor, audit.SecretRotated, func(c *change) (int, State, error) {
		n, err := c.e.head.Before()
		if err == nil && to != 0 && to != n {
			err = fault.Newf(fault.Conflict, "the version to roll back to is %d now", n).WithHint("look at the secret's versions again")
		}
		if err != nil {
			return 0, "", err
		}
		c.fields["why"] = "rolled back"
		return n, Active, c.ready(n)
	})
}

// Before is the version that a rollback would activate. Conflict: there is none.
func (s *Secret) Before() (int, error) {
	if s.Active == 0 {
		return 0, fault.Newf(fault.Conflict, "the secret %s has no active version to roll back from", s.Name).
			WithHint("activate one of its versions by number")
	}
	if s.Active == 1 {
		return 0, fault.Newf(fault.Conflict, "the active version of the secret %s is its first", s.Name)
	}
	for _, ver := range s.Versions[:s.Active-1] {
		if ver.State == Previous {
			return ver.Version, nil
		}
	}
	last := s.Versions[s.Active-2]
	return 0, fault.Newf(fault.Conflict, "no version of the secret %s is in its grace; version %d is %s", s.Name, last.Version, last.State).
		WithHint("activate a version by number where you mean it")
}

// Disable ends the use of a version. Its value stays, and is still scrubbed for.
func (v *Vault) Disable(ctx context.Context, t ident.Tenant, name string, version int, actor ident.Principal) (Secret, error) {
	return v.restate(ctx, t, name, actor, audit.SecretDisabled, func(*change) (int, State, error) {
		return version, Disabled, nil
	})
}

// restate gives the version that which chooses another state.
func (v *Vault) restate(ctx context.Context, t ident.Tenant, name string, actor ident.Principal, event audit.Type, which func(*change) (int, State, error)) (Secret, error) {
	return v.commit(ctx, t, name, actor, false, func(c *change) error {
		if err := c.e.notQuarantined(); err != nil {
			return err
		}
		n, to, err := which(c)
		if err != nil {
			return err
		}
		ver, err := c.existing(n)
		if err != nil {
			return err
		}
		if ver.State == to {
			return fault.Newf(fault.Conflict, "version %d of the secret %s is %s already", n, name, to)
		}
		c.event = event
		c.set(n, to)
		maps.Copy(c.fields, map[string]any{"secretVersion": n, "state": string(to)})
		return nil
	})
}

// notQuarantined refuses what is for Secrets alone.
func (e *entry) notQuarantined() error {
	if e.head.Quarantined == nil {
		return nil
	}
	return fault.Newf(fault.Conflict, "%s is in quarantine", e.head.Name).WithHint("promote it to a Secret, or dismiss it")
}

// existing finds a version that still has its keys. NotFound.
func (c *change) existing(n int) (Version, error) {
	ver, ok := c.e.head.version(n)
	if !ok || ver.State == Destroyed {
		return Version{}, fault.Newf(fault.NotFound, "the secret %s has no version %d", c.e.head.Name, n).
			WithHint("to see its versions: sallyport secret show %s", c.e.head.Name)
	}
	return ver, nil
}

// Destroy destroys one version: its wrapped key is overwritten and deleted, so
// that the value is gone from here. A backup that has it still needs a seal to be
// of use. Conflict: it is the active one, whose end a caller should see coming.
func (v *Vault) Destroy(ctx context.Context, t ident.Tenant, name string, version int, actor ident.Principal) (Secret, error) {
	return v.commit(ctx, t, name, actor, false, func(c *change) error {
		if _, err := c.existing(version); err != nil {
			return err
		}
		if err := c.e.notQuarantined(); err != nil {
			return err
		}
		if c.e.head.Active == version {
			return fault.Newf(fault.Conflict, "version %d of the secret %s is the active one", version, name).
				WithHint("activate another version first; or disable this one, and no call can use the secret any more")
		}
		c.destroy(version)
		c.event = audit.SecretDestroyed
		c.fields["secretVersion"] = version
		return nil
	})
}

// destroy drops a version's keys.
func (c *change) destroy(n int) {
	c.shred = append(c.shred, VersionID{c.e.head.Name, n})
	c.set(n, Destroyed)
	delete(c.e.keys, n)
}

// Remove destroys every version. The name stays as a tombstone, and its numbers
// stay used.
func (v *Vault) Remove(ctx context.Context, t ident.Tenant, name string, actor ident.Principal) error {
	_, err := v.commit(ctx, t, name, actor, false, func(c *change) error {
		h := &c.e.head
		if err := c.e.notQuarantined(); err != nil {
			return err
		}
		if h.Removed {
			return fault.Newf(fault.NotFound, "the secret %s was removed already", name)
		}
		for _, ver := range h.Versions {
			if ver.State != Destroyed {
				c.destroy(ver.Version)
			}
		}
		h.Removed, c.event = true, audit.SecretRemoved
		c.fields["secretVersion"] = len(h.Versions)
		return nil
	})
	return err
}
