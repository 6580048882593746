package vault

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// SealInfo is what is known of a seal.
type SealInfo struct {
	ID        string    `json:"id"` // "seal_…"
	Kind      kek.Kind  `json:"kind"`
	KeyID     string    `json:"keyId"` // which key file, passphrase, key of a service
	CreatedAt time.Time `json:"createdAt"`
	Refused   string    `json:"refused,omitempty"` // why its row is not trusted
}

// Seals lists the seals.
func (v *Vault) Seals() ([]SealInfo, error) {
	s, err := v.open()
	if err != nil {
		return nil, err
	}
	out := make([]SealInfo, 0, len(s.seals))
	for _, row := range s.seals {
		out = append(out, s.info(row))
	}
	if why := s.refused[""]; why != nil {
		out = append(out, SealInfo{Refused: why.Error()})
	}
	return out, nil
}

func (s *state) info(row SealRow) SealInfo {
	i := SealInfo{ID: row.ID, Kind: row.Sealed.Kind, KeyID: row.Sealed.ID, CreatedAt: row.CreatedAt}
	if why := s.refused[row.ID]; why != nil {
		i.Refused = why.Error()
	}
	return i
}

// AddSeal adds a seal: from the next start on, it alone unseals the vault.
func (v *Vault) AddSeal(ctx context.Context, seal kek.Seal, actor ident.Principal) (SealInfo, error) {
	var info SealInfo
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.changeRing(ctx, actor, func(s *state, next *changing) ([]audit.Event, error) {
		row, tag, err := v.makeSeal(ctx, next.Root.Vault, ident.New("seal"), seal)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(next.Seals, func(o SealRow) bool {
			return o.Sealed.Kind == row.Sealed.Kind && o.Sealed.ID == row.Sealed.ID
		}); i >= 0 && row.Sealed.Kind != kek.KindPassphrase {
			return nil, fault.Newf(fault.Conflict, "this %s is the seal %s already", row.Sealed.Kind, next.Seals[i].ID).
				WithHint("to give it a new key: sallyport seal rotate %s", next.Seals[i].ID)
		}
		return v.addRow(s, next, row, tag, actor, &info)
	})
	return info, err
}

// AddRecovery adds a recovery key by its public half, see kek.NewRecovery.
func (v *Vault) AddRecovery(ctx context.Context, public []byte, actor ident.Principal) (SealInfo, error) {
	p, err := kek.ParseRecoveryPublic(public)
	if err != nil {
		return SealInfo{}, err
	}
	var info SealInfo
	v.mu.Lock()
	defer v.mu.Unlock()
	err = v.changeRing(ctx, actor, func(s *state, next *changing) ([]audit.Event, error) {
		if slices.ContainsFunc(next.Seals, func(o SealRow) bool { return o.Sealed.ID == p.ID }) {
			return nil, fault.New(fault.Conflict, "this recovery key is a seal already")
		}
		row := SealRow{ID: ident.New("seal"), Sealed: kek.Sealed{Kind: kek.KindRecovery, ID: p.ID}, Public: p.Public,
			CreatedAt: v.cfg.Now().UTC().Truncate(time.Millisecond)}
		return v.addRow(s, next, row, plain.New(p.Tag), actor, &info)
	})
	return info, err
}

// addRow finishes a new seal's row and takes it up.
func (v *Vault) addRow(s *state, next *changing, row SealRow, tag plain.Value, actor ident.Principal, info *SealInfo) ([]audit.Event, error) {
	if err := v.finishWithRoot(&row, next.Root, tag); err != nil {
		return nil, err
	}
	next.Seals = append(next.Seals, row)
	*info = s.info(row)
	return []audit.Event{v.ringEvent(audit.SealAdded, actor.String(), next.Root, row)}, nil
}

// finishWithRoot is finishSeal with the root key that is held.
func (v *Vault) finishWithRoot(row *SealRow, r RootRow, tag plain.Value) error {
	return v.withRoot(func(k []byte) error {
		root := plain.New(append([]byte(nil), k...))
		defer plain.Wipe(root)
		return v.finishSeal(row, r, tag, root)
	})
}

// RenewSeal gives a seal a new secret, which seal encrypts: a new passphrase, a
// new key in the key file, a service's newest key. The root key is replaced as by
// RemoveSeal, since the old secret still opens older copies of the database.
func (v *Vault) RenewSeal(ctx context.Context, id string, seal kek.Seal, actor ident.Principal) (SealInfo, error) {
	var info SealInfo
	_, err := v.replaceRoot(ctx, actor, func(_ *state, next *changing) ([]audit.Event, error) {
		i := next.seal(id)
		if i < 0 {
			return nil, noSeal(id)
		}
		old := next.Seals[i]
		if old.Sealed.Kind != seal.Kind() {
			return nil, fault.Newf(fault.Invalid, "the seal %s is a %s", id, old.Sealed.Kind).
				WithHint("to change the kind, add a new seal and remove the old one")
		}
		if r, ok := seal.(kek.Renewer); ok {
			if err := r.Renew(ctx, secretAAD(next.Root.Vault, id), old.Sealed); err != nil {
				return nil, err
			}
		}
		row, tag, err := v.makeSeal(ctx, next.Root.Vault, id, seal)
		if err != nil {
			return nil, err
		}
		if err := v.keepTag(&row, next.Root, tag); err != nil {
			return nil, err
		}
		delete(next.refused, id) // all of the row is new
		next.Seals[i], info = row, SealInfo{ID: id, Kind: row.Sealed.Kind, KeyID: row.Sealed.ID, CreatedAt: row.CreatedAt}
		return []audit.Event{v.ringEvent(audit.SealRenewed, actor.String(), next.Root, row)}, nil
	})
	if err != nil {
		return SealInfo{}, err
	}
	return info, v.newTerms(ctx, actor)
}

func noSeal(id string) error {
	return fault.Newf(fault.NotFound, "there is no seal %s", fault.Quote(id)).WithHint("sallyport seal status lists them")
}

// RemoveSeal removes a seal, and replaces the root key; new versions of Secrets
// get new project keys. So the removed seal, even with an old copy of the
// database, opens nothing of what is stored from now on; what is there already,
// once RotateData has been through it. The last seal that is trusted stays.
func (v *Vault) RemoveSeal(ctx context.Context, id string, actor ident.Principal) error {
	_, err := v.replaceRoot(ctx, actor, func(_ *state, next *changing) ([]audit.Event, error) {
		i := next.seal(id)
		if i < 0 {
			return nil, noSeal(id)
		}
		row := next.Seals[i]
		next.Seals = slices.Delete(next.Seals, i, i+1)
		return []audit.Event{v.ringEvent(audit.SealRemoved, actor.String(), next.Root, row)}, nil
	})
	if err != nil {
		return err
	}
	return v.newTerms(ctx, actor)
}

// Rotation says what a rotation of keys did.
type Rotation struct {
	What       string `json:"what"`       // root, project, data
	Generation int    `json:"generation"` // of the root key, or the project key's term
	Count      int    `json:"count"`      // of keys that were encrypted again
}

// RotateRoot replaces the root key: a new generation, encrypted to every seal,
// none of which has to be at hand. Project keys are wrapped again. A seal whose
// row is refused is not given it, and goes.
func (v *Vault) RotateRoot(ctx context.Context, actor ident.Principal) (Rotation, error) {
	return v.replaceRoot(ctx, actor, func(_ *state, next *changing) ([]audit.Event, error) {
		return []audit.Event{{Type: audit.RootRotated, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: actor.String(),
			Fields: map[string]any{"generation": next.Root.Generation, "count": len(next.Projects)}}}, nil
	})
}

// replaceRoot makes the next generation of the root key in the same change as f.
func (v *Vault) replaceRoot(ctx context.Context, actor ident.Principal, f func(*state, *changing) ([]audit.Event, error)) (Rotation, error) {
	root := newKey()
	defer plain.Wipe(root)
	v.mu.Lock()
	defer v.mu.Unlock()
	var out Rotation
	err := v.changeRing(ctx, actor, func(s *state, next *changing) ([]audit.Event, error) {
		next.Root.Generation++
		next.root = root
		evs, err := f(s, next)
		if err != nil {
			return nil, err
		}
		for _, row := range next.Seals {
			if next.refused[row.ID] != nil {
				evs = append(evs, v.ringEvent(audit.SealRemoved, actor.String(), next.Root, row))
			}
		}
		out = Rotation{What: "root", Generation: next.Root.Generation, Count: len(next.Projects)}
		return evs, v.rewrapRing(s, next)
	})
	if err != nil {
		return Rotation{}, err
	}
	return out, nil
}

// rewrapRing encrypts everything that the root key protects under the new one,
// and the new one to every seal.
func (v *Vault) rewrapRing(s *state, next *changing) error {
	next.Root.CreatedAt = v.cfg.Now().UTC().Truncate(time.Millisecond)
	err := v.withRoot(func(old []byte) (err error) {
		if next.Root.Derive, err = rewrap(old, plain.Bytes(next.root), deriveAAD(s.root), deriveAAD(next.Root), s.root.Derive); err != nil {
			return err
		}
		for i, p := range next.Projects {
			if next.Projects[i].Wrapped, err = rewrap(old, plain.Bytes(next.root), projectAAD(p), projectAAD(p), p.Wrapped); err != nil {
				return fault.Wrap(fault.Denied, "opening the project key of the tenant "+fault.Quote(string(p.Tenant)), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.giveRoot(next)
}

// rewrap encrypts under one key what another one opens.
func rewrap(from, to []byte, was, is box.AAD, sealed []byte) ([]byte, error) {
	key, err := box.Open(from, was, sealed)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(key)
	return box.Seal(to, is, key)
}

// giveRoot encrypts a new root key to every seal that is trusted. One that is
// not goes: its public key may be somebody else's.
func (v *Vault) giveRoot(next *changing) error {
	next.Seals = slices.DeleteFunc(next.Seals, func(row SealRow) bool { return next.refused[row.ID] != nil })
	for i := range next.Seals {
		row := &next.Seals[i]
		tag, err := v.tagKey(next.Root.Vault, *row)
		if err != nil {
			return err
		}
		row.Root, err = kek.Encrypt(row.Public, tag, rootAAD(next.Root, row.ID), next.root)
		plain.Wipe(tag)
		if err != nil {
			return err
		}
	}
	return nil
}

// KeyStatus is what is known of the vault's keys, for a tenant.
type KeyStatus struct {
	Vault      string    `json:"vault"`
	Generation int       `json:"generation"` // of the root key
	RootSince  time.Time `json:"rootSince"`
	Term       int       `json:"term"` // of the tenant's project key; 0 before its first Secret
	TermSince  time.Time `json:"termSince,omitzero"`
	Older      int       `json:"older"`    // versions of Secrets that are under an older term
	Versions   int       `json:"versions"` // that are not destroyed
}

// Keys says how old the keys are.
func (v *Vault) Keys(t ident.Tenant) (KeyStatus, error) {
	s, err := v.open()
	if err != nil {
		return KeyStatus{}, err
	}
	out := KeyStatus{Vault: s.root.Vault, Generation: s.root.Generation, RootSince: s.root.CreatedAt}
	ten := s.tenants[t]
	if ten == nil {
		return out, nil
	}
	p := ten.projects[ten.register.Term]
	out.Term, out.TermSince = p.Term, p.CreatedAt
	for _, e := range ten.secrets {
		for _, ver := range e.head.Versions {
			if ver.State == Destroyed {
				continue
			}
			out.Versions++
			if ver.Term != out.Term {
				out.Older++
			}
		}
	}
	return out, nil
}
