package vault

import (
	"context"
	"crypto/hmac"
	"sync/atomic"
	"time"

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
// Denied: no seal is the right one, or the keys that are stored are not the last
// ones. Unavailable: a seal or the store can't be read. Conflict: it is unsealed.
func (v *Vault) Unseal(ctx context.Context, store Store, seals ...kek.Seal) error {
	return v.unsealBy(ctx, store, func(ring Ring) (opened, error) {
		if len(seals) == 0 {
			return opened{}, fault.New(fault.Invalid, "unsealing needs a key file, a passphrase or another seal")
		}
		return v.openRing(ctx, ring, seals)
	}, seals)
}

// opened says by which seal a ring was opened.
type opened struct {
	seal   string
	kind   kek.Kind
	source string // where the caller came from; empty: the server did it by itself
}

// unsealBy is Unseal with how the root key comes to be held.
func (v *Vault) unsealBy(ctx context.Context, store Store, open func(Ring) (opened, error), first []kek.Seal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state.Load() != nil {
		return fault.New(fault.Conflict, "the vault is unsealed already")
	}
	err := v.unseal(ctx, store, open, first)
	if err != nil {
		v.lockdown()
	}
	return err
}

func (v *Vault) unseal(ctx context.Context, store Store, open func(Ring) (opened, error), first []kek.Seal) error {
	snap, err := store.LoadVault(ctx)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "reading the vault", err)
	}
	if snap.Ring.Root.Rev == 0 {
		if snap.Ring, err = v.firstStart(ctx, store, snap, first); err != nil {
			return err
		}
	}
	by, err := open(snap.Ring)
	if err != nil {
		return err
	}
	last, err := store.LastChanges(ctx)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "reading what the audit log has of the vault", err)
	}
	refused, whole, err := v.refuseSeals(&snap.Ring, last.Ring)
	if err != nil {
		return err
	}
	if whole != nil {
		return v.refuseRing(ctx, store, whole)
	}
	s, all, err := v.rebuild(v.verify(snap, last, refused), "", nil)
	if err != nil {
		return err
	}
	// The audit log's key is the vault's, which has its root key since it was
	// unwrapped; doors open only after this is on disk.
	fields := map[string]any{"generation": snap.Ring.Root.Generation, "kind": string(by.kind), "seal": by.seal}
	if by.source != "" {
		fields["source"] = by.source
	}
	evs := append(v.attempts(), audit.Event{Type: audit.VaultUnsealed, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: SystemActor, Fields: fields})
	if err := store.RecordVault(ctx, append(evs, v.refusals(s)...)); err != nil {
		return fault.Wrap(fault.KindOf(err), "recording the unsealing", err)
	}
	v.store = store
	v.by.Store(&by)
	v.meet.end()
	v.publish(s, all)
	v.warnExposed()
	return nil
}

// refuseRing records that an old ring was put back. What it opens may be what
// somebody was to be locked out from: nothing goes on with it.
func (v *Vault) refuseRing(ctx context.Context, store Store, why error) error {
	ev := v.refusal(v.cfg.Tenant, tableRoot, "", why)
	if err := store.RecordVault(ctx, []audit.Event{ev}); err != nil {
		return fault.Wrap(fault.KindOf(err), "recording a refusal", err)
	}
	return fault.Wrap(fault.Denied, "unsealing", why)
}

// firstStart makes the root key, the derivation key, and a row for each seal.
func (v *Vault) firstStart(ctx context.Context, store Store, snap Snapshot, seals []kek.Seal) (Ring, error) {
	if len(snap.Ring.Projects)+len(snap.Ring.Seals)+len(snap.Secrets)+len(snap.Versions)+len(snap.Registers) > 0 || snap.Logged {
		// A new root key here would pass for the old one until the first use.
		return Ring{}, fault.New(fault.Denied, "the vault has secrets, and its root key's rows are gone").
			WithHint("restore the data directory from a backup")
	}
	if len(seals) == 0 {
		return Ring{}, fault.New(fault.Invalid, "a new vault needs a key file, a passphrase or another seal")
	}
	root, derive := newKey(), newKey()
	defer plain.Wipe(root)
	defer plain.Wipe(derive)
	r := Ring{Root: RootRow{Vault: ident.New("vault"), Generation: 1, CreatedAt: v.cfg.Now().UTC().Truncate(time.Millisecond)}}
	var err error
	if r.Root.Derive, err = box.Seal(plain.Bytes(root), deriveAAD(r.Root), derive); err != nil {
		return Ring{}, err
	}
	if err := v.hold(root, r.Root); err != nil {
		return Ring{}, err
	}
	var evs []audit.Event
	for _, seal := range seals {
		row, tag, err := v.makeSeal(ctx, r.Root.Vault, ident.New("seal"), seal)
		if err != nil {
			return Ring{}, err
		}
		if err := v.finishSeal(&row, r.Root, tag, root); err != nil {
			return Ring{}, err
		}
		r.Seals = append(r.Seals, row)
		evs = append(evs, v.ringEvent(audit.SealAdded, SystemActor, r.Root, row))
	}
	r.Root.Rev = int64(len(evs))
	if err := v.authenticate(&r, nil); err != nil {
		return Ring{}, err
	}
	if err := store.SaveRing(ctx, 0, r, evs); err != nil {
		return Ring{}, fault.Wrap(fault.KindOf(err), "storing the root key", err)
	}
	return r, nil
}

// openRing takes the first seal that opens a row, and holds the root key.
func (v *Vault) openRing(ctx context.Context, ring Ring, seals []kek.Seal) (opened, error) {
	var why error
	for _, seal := range seals {
		for _, row := range ring.Seals {
			if row.Sealed.Kind != seal.Kind() {
				continue
			}
			err := v.openBy(ctx, ring.Root, row, seal)
			if err == nil {
				return opened{seal: row.ID, kind: row.Sealed.Kind}, nil
			}
			if why == nil || fault.Is(why, fault.Denied) { // what can't be read says more
				why = err
			}
		}
	}
	if why == nil {
		why = fault.New(fault.Denied, "the vault was not sealed with a seal of this kind").
			WithHint("it was sealed with: %s", kindsOf(ring.Seals))
	}
	return opened{}, fault.Wrap(fault.KindOf(why), "unsealing", why)
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

// openBy opens one row with one seal, and holds the root key.
func (v *Vault) openBy(ctx context.Context, r RootRow, row SealRow, seal kek.Seal) error {
	root, err := unwrapRoot(ctx, r, row, seal)
	if err != nil {
		return err
	}
	defer plain.Wipe(root)
	return v.hold(root, r)
}

// unwrapRoot gives the root key that a seal opens.
func unwrapRoot(ctx context.Context, r RootRow, row SealRow, seal kek.Seal) (plain.Value, error) {
	secret, err := seal.Unwrap(ctx, secretAAD(r.Vault, row.ID), row.Sealed)
	if err != nil {
		return plain.Value{}, err
	}
	defer plain.Wipe(secret)
	public, tag, err := kek.Public(secret)
	plain.Wipe(tag)
	if err == nil && !hmac.Equal(public, row.Public) {
		err = fault.New(fault.Denied, "the seal's public key was changed by somebody without the key")
	}
	if err != nil {
		return plain.Value{}, err
	}
	return kek.Decrypt(secret, rootAAD(r, row.ID), row.Root)
}

// hold moves a copy of the root key, and the derivation key that it opens, into
// their pages. That it opens one is the proof that it is the right one.
func (v *Vault) hold(root plain.Value, r RootRow) error {
	derive, err := box.Open(plain.Bytes(root), deriveAAD(r), r.Derive)
	if err != nil {
		return fault.New(fault.Denied, "the root key is not the one that this vault was made with")
	}
	if err := holdIn(&v.derive, derive); err != nil {
		return err
	}
	return holdIn(&v.root, plain.New(append([]byte(nil), plain.Bytes(root)...)))
}

// holdIn moves a key into a page of its own, and forgets the one that was there.
func holdIn(to *atomic.Pointer[plain.Page], key plain.Value) error {
	page, err := plain.NewPage(key)
	if err != nil {
		plain.Wipe(key)
		return err
	}
	if old := to.Swap(page); old != nil {
		plain.WipePage(old)
	}
	return nil
}
