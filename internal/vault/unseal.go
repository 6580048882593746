package vault

import (
	"context"
	"crypto/hmac"
	"strconv"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// Unseal opens the vault with any one of the seals, and at the first start makes
// its root key under all of them. It reads and checks everything that is stored,
// records what it refuses, and records the unsealing; only then is it open.
//
// Denied: no seal is the right one, or the root key's rows are gone. Unavailable:
// a seal or the store can't be read. Conflict: it is unsealed.
func (v *Vault) Unseal(ctx context.Context, store Store, seals ...kek.Seal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state.Load() != nil {
		return fault.New(fault.Conflict, "the vault is unsealed already")
	}
	err := v.unseal(ctx, store, seals)
	if err != nil {
		v.lockdown()
	}
	return err
}

func (v *Vault) unseal(ctx context.Context, store Store, seals []kek.Seal) error {
	if len(seals) == 0 {
		return fault.New(fault.Invalid, "unsealing needs a key file or a passphrase")
	}
	snap, err := store.LoadVault(ctx)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "reading the vault", err)
	}
	rows, used := snap.Seals, SealRow{}
	if len(rows) == 0 {
		rows, err = v.firstStart(ctx, store, snap, seals)
		if err != nil {
			return err
		}
		used = rows[0]
	} else if used, err = v.unwrapAny(ctx, rows, seals); err != nil {
		return err
	}
	s, all, err := v.rebuild(v.verify(snap, rows, used), "", nil)
	if err != nil {
		return err
	}
	// The audit log's key is the vault's, which has its root key since it was
	// unwrapped; doors open only after this is on disk.
	evs := append([]audit.Event{{Type: audit.VaultUnsealed, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: SystemActor,
		Fields: map[string]any{"generation": used.Generation, "kind": string(used.Sealed.Kind), "seal": used.Sealed.ID}}}, v.refusals(s)...)
	if err := store.RecordVault(ctx, evs); err != nil {
		return fault.Wrap(fault.KindOf(err), "recording the unsealing", err)
	}
	v.store = store
	v.publish(s, all)
	v.warnExposed()
	return nil
}

// firstStart makes the root key and wraps it with every seal.
func (v *Vault) firstStart(ctx context.Context, store Store, snap Snapshot, seals []kek.Seal) ([]SealRow, error) {
	if len(snap.Projects)+len(snap.Secrets)+len(snap.Versions)+len(snap.Registers)+len(snap.Changes) > 0 {
		// A new root key here would pass for the old one until the first use.
		return nil, fault.New(fault.Denied, "the vault has secrets, and its root key's rows are gone").
			WithHint("restore the data directory from a backup")
	}
	root := newKey()
	defer plain.Wipe(root)
	vaultID := ident.New("vault")
	var rows []SealRow
	for _, seal := range seals {
		row, err := v.wrapRoot(ctx, seal, vaultID, 1, root)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := v.holdRoot(root); err != nil {
		return nil, err
	}
	for i := range rows {
		check, err := v.checkValue(vaultID, 1)
		if err != nil {
			return nil, err
		}
		rows[i].Check = check
	}
	if err := store.SaveSeals(ctx, 0, rows, v.sealEvent(rows)); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "storing the root key", err)
	}
	return rows, nil
}

// holdRoot moves a copy of the root key into its page.
func (v *Vault) holdRoot(root plain.Value) error {
	page, err := plain.NewPage(plain.New(append([]byte(nil), plain.Bytes(root)...)))
	if err != nil {
		return err
	}
	v.root.Store(page)
	return nil
}

func rootAAD(vaultID string, generation int) box.AAD {
	return box.Bind("root", vaultID, strconv.Itoa(generation))
}

// wrapRoot seals the root key and tries the result: a seal that can't be undone
// is not stored.
func (v *Vault) wrapRoot(ctx context.Context, seal kek.Seal, vaultID string, generation int, root plain.Value) (SealRow, error) {
	aad := rootAAD(vaultID, generation)
	sealed, err := seal.Wrap(ctx, aad, root)
	if err != nil {
		return SealRow{}, fault.Wrap(fault.KindOf(err), "sealing the root key", err)
	}
	back, err := seal.Unwrap(ctx, aad, sealed)
	defer plain.Wipe(back)
	if err != nil || !hmac.Equal(plain.Bytes(back), plain.Bytes(root)) {
		return SealRow{}, fault.Wrap(fault.Internal, "a seal does not open what it has sealed", err)
	}
	return SealRow{Vault: vaultID, Generation: generation, Sealed: sealed, CreatedAt: v.cfg.Now()}, nil
}

// checkValue is a root key's check value.
func (v *Vault) checkValue(vaultID string, generation int) ([]byte, error) {
	m, err := v.mac(keyCheck, "", vaultID, strconv.Itoa(generation))
	if err != nil {
		return nil, err
	}
	return m[:checkBytes], nil
}

// unwrapAny takes the first seal that opens a row, and holds the root key.
func (v *Vault) unwrapAny(ctx context.Context, rows []SealRow, seals []kek.Seal) (SealRow, error) {
	var why error
	for _, seal := range seals {
		for _, row := range rows {
			if row.Sealed.Kind != seal.Kind() {
				continue
			}
			err := v.unwrap(ctx, row, seal)
			if err == nil {
				return row, nil
			}
			if why == nil || fault.Is(why, fault.Denied) { // what can't be read says more
				why = err
			}
		}
	}
	if why == nil {
		why = fault.New(fault.Denied, "the vault was not sealed with a seal of this kind").
			WithHint("it was sealed with: %s", kindsOf(rows))
	}
	return SealRow{}, fault.Wrap(fault.KindOf(why), "unsealing", why)
}

func kindsOf(rows []SealRow) string {
	out := ""
	for i, r := range rows {
		if i > 0 {
			out += ", "
		}
		out += fault.Quote(string(r.Sealed.Kind))
	}
	return out
}

func (v *Vault) unwrap(ctx context.Context, row SealRow, seal kek.Seal) error {
	root, err := seal.Unwrap(ctx, rootAAD(row.Vault, row.Generation), row.Sealed)
	if err != nil {
		return err
	}
	defer plain.Wipe(root)
	if err := v.holdRoot(root); err != nil {
		return err
	}
	check, err := v.checkValue(row.Vault, row.Generation)
	if err == nil && !hmac.Equal(check, row.Check) {
		err = fault.New(fault.Denied, "the root key is not the one that this vault was made with")
	}
	if err != nil {
		v.lockdown()
	}
	return err
}

func (v *Vault) sealEvent(rows []SealRow) audit.Event {
	return audit.Event{Type: audit.ResourceApplied, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: SystemActor,
		Fields: map[string]any{"kind": "Seal", "name": rows[0].Sealed.ID, "revision": rows[0].Generation, "state": string(rows[0].Sealed.Kind)}}
}

// AddSeal adds a seal to an unsealed vault: from the next start on, each alone
// unseals it.
func (v *Vault) AddSeal(ctx context.Context, seal kek.Seal, actor ident.Principal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return err
	}
	if !actor.Valid() {
		return fault.New(fault.Denied, "a change of the seals needs a caller")
	}
	var row SealRow
	err = v.withRoot(func(k []byte) (err error) {
		root := plain.New(append([]byte(nil), k...))
		defer plain.Wipe(root)
		row, err = v.wrapRoot(ctx, seal, s.vault, s.generation, root)
		return err
	})
	if err != nil {
		return err
	}
	if row.Check, err = v.checkValue(s.vault, s.generation); err != nil {
		return err
	}
	ev := v.sealEvent([]SealRow{row})
	ev.Actor = actor.String()
	if err := v.store.SaveSeals(ctx, len(s.seals), []SealRow{row}, ev); err != nil {
		return fault.Wrap(fault.KindOf(err), "storing the seal", err)
	}
	next := *s
	next.seals = append(append([]SealRow(nil), s.seals...), row)
	v.state.Store(&next)
	return nil
}
