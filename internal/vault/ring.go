package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// Ring is the vault's keys as they are stored, every one of them encrypted: all
// that a seal needs to unseal it. It is written as a whole, so that there is no
// moment at which a seal opens one half of it and not the other.
type Ring struct {
	Root     RootRow      `json:"root"`
	Seals    []SealRow    `json:"seals"`
	Projects []ProjectRow `json:"projects"`
}

// RootRow is the root key's row. The key itself is in the rows of the seals.
type RootRow struct {
	Vault      string    `json:"vault"`      // the vault's id, for ever
	Generation int       `json:"generation"` // of the root key, from 1
	Rev        int64     `json:"rev"`        // how many changes of the ring there were
	Derive     []byte    `json:"derive"`     // the derivation key, wrapped by the root key
	CreatedAt  time.Time `json:"createdAt"`  // of this generation
	MAC        []byte    `json:"mac"`        // names the seals that there are
}

// SealRow is one seal: its secret, which it alone can decrypt, and the root key,
// encrypted to that secret's key pair.
type SealRow struct {
	ID        string     `json:"id"` // "seal_…"
	Sealed    kek.Sealed `json:"sealed"`
	Public    []byte     `json:"public"`
	Tag       []byte     `json:"tag"`  // the tag key, under a derived key: rotations need it
	Root      []byte     `json:"root"` // see kek.Encrypt
	CreatedAt time.Time  `json:"createdAt"`
	MAC       []byte     `json:"mac"`
}

// seal finds a seal's place by its id, or -1.
func (r *Ring) seal(id string) int {
	return slices.IndexFunc(r.Seals, func(s SealRow) bool { return s.ID == id })
}

// Associated data of the ring's ciphertexts.

func secretAAD(vaultID, sealID string) box.AAD { return box.Bind("seal", vaultID, sealID) }

func rootAAD(r RootRow, sealID string) box.AAD {
	return box.Bind("root", r.Vault, strconv.Itoa(r.Generation), sealID)
}

func deriveAAD(r RootRow) box.AAD {
	return box.Bind("derivation key", r.Vault, strconv.Itoa(r.Generation))
}

// authenticate fills in the MACs of a ring that is about to be stored. A row that
// is refused keeps the one that it has: nothing makes it good afterwards.
func (v *Vault) authenticate(r *Ring, refused map[string]error) (err error) {
	for i := range r.Seals {
		if refused[r.Seals[i].ID] != nil {
			continue
		}
		if r.Seals[i].MAC, err = v.sealMAC(r.Root, r.Seals[i]); err != nil {
			return err
		}
	}
	r.Root.MAC, err = v.rootMAC(r)
	return err
}

// sealMAC binds a seal's row to the ring's revision: a row of an earlier ring is
// not one of this one, whatever it held.
func (v *Vault) sealMAC(r RootRow, s SealRow) ([]byte, error) {
	s.MAC = nil
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fault.New(fault.Internal, "encoding a seal's row")
	}
	return v.mac(vaultRow, "", tableSeal, r.Vault, strconv.Itoa(r.Generation), strconv.FormatInt(r.Rev, 10), string(b))
}

// rootMAC covers which seals there are; each has a MAC of its own.
func (v *Vault) rootMAC(r *Ring) ([]byte, error) {
	parts := []string{tableRoot, r.Root.Vault, strconv.Itoa(r.Root.Generation), strconv.FormatInt(r.Root.Rev, 10),
		string(r.Root.Derive), strconv.FormatInt(r.Root.CreatedAt.UnixMilli(), 10)}
	ids := make([]string, 0, len(r.Seals))
	for _, s := range r.Seals {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return v.mac(vaultRow, "", append(parts, ids...)...)
}

// refuseSeals says what is wrong with the rows of an opened ring: the reason, by
// a seal's id; and with the ring as a whole, which is fatal when it is an old one
// that was put back.
func (v *Vault) refuseSeals(r *Ring, changes int64) (refused map[string]error, whole error, err error) {
	refused = map[string]error{}
	for _, s := range r.Seals {
		want, err := v.sealMAC(r.Root, s)
		if err != nil {
			return nil, nil, err
		}
		if !hmac.Equal(want, s.MAC) {
			refused[s.ID] = fault.New(fault.Denied, "the row was changed by somebody without the key")
		}
	}
	if changes < 0 {
		return refused, errLog, nil
	}
	if r.Root.Rev != changes {
		return refused, fault.Newf(fault.Denied, "the vault's keys are of change %d, and the audit log has %d: an old ring was put back", r.Root.Rev, changes), nil
	}
	want, err := v.rootMAC(r)
	if err != nil {
		return nil, nil, err
	}
	if !hmac.Equal(want, r.Root.MAC) {
		refused[""] = fault.New(fault.Denied, "a seal was added to the ring or removed by somebody without the key")
	}
	return refused, nil, nil
}

// errLog is what nothing can be compared with.
var errLog error = fault.New(fault.Denied, "the audit log is not the one that was signed, so it can't be said whether the vault's rows are the last ones").
	WithHint("see what is wrong with it: sallyport audit verify; then restore a backup")

// makeSeal makes a seal's row, without the root key. It tries what the seal made:
// one that can't be undone is not stored.
func (v *Vault) makeSeal(ctx context.Context, vaultID, id string, seal kek.Seal) (SealRow, plain.Value, error) {
	row := SealRow{ID: id, CreatedAt: v.cfg.Now().UTC().Truncate(time.Millisecond)}
	aad := secretAAD(vaultID, id)
	secret := kek.NewSecret()
	defer plain.Wipe(secret)
	var err error
	if row.Sealed, err = seal.Wrap(ctx, aad, secret); err != nil {
		return SealRow{}, plain.Value{}, fault.Wrap(fault.KindOf(err), "sealing", err)
	}
	back, err := seal.Unwrap(ctx, aad, row.Sealed)
	defer plain.Wipe(back)
	if err != nil || !hmac.Equal(plain.Bytes(back), plain.Bytes(secret)) {
		return SealRow{}, plain.Value{}, fault.Wrap(fault.Internal, "a seal does not open what it has sealed", err)
	}
	public, tag, err := kek.Public(secret)
	row.Public = public
	return row, tag, err
}

// finishSeal encrypts the root key to the seal and keeps its tag key, which it
// wipes.
func (v *Vault) finishSeal(row *SealRow, r RootRow, tag, root plain.Value) (err error) {
	defer plain.Wipe(tag)
	if row.Root, err = kek.Encrypt(row.Public, tag, rootAAD(r, row.ID), root); err != nil {
		return err
	}
	return v.keepTag(row, r, tag)
}

// keepTag keeps a seal's tag key, and wipes it.
func (v *Vault) keepTag(row *SealRow, r RootRow, tag plain.Value) (err error) {
	defer plain.Wipe(tag)
	if serr := v.subkey(sealTag, "", func(key []byte) {
		row.Tag, err = box.Seal(key, box.Bind("seal tag", r.Vault, row.ID), tag)
	}); serr != nil {
		return serr
	}
	return err
}

// tagKey opens a seal's tag key.
func (v *Vault) tagKey(vaultID string, row SealRow) (tag plain.Value, err error) {
	if serr := v.subkey(sealTag, "", func(key []byte) {
		tag, err = box.Open(key, box.Bind("seal tag", vaultID, row.ID), row.Tag)
	}); serr != nil {
		return plain.Value{}, serr
	}
	return tag, err
}

// ringEvent describes one change of the ring.
func (v *Vault) ringEvent(t audit.Type, actor string, r RootRow, s SealRow) audit.Event {
	return audit.Event{Type: t, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: actor,
		Fields: map[string]any{"seal": s.ID, "kind": string(s.Sealed.Kind), "generation": r.Generation}}
}

// changing is a change of the ring under way.
type changing struct {
	Ring
	refused map[string]error // a row that is made anew is taken out
	root    plain.Value      // the next root key, where it is replaced
}

// changeRing runs f on a copy of the ring, stores what it made with its events,
// and publishes it. v.mu is held.
func (v *Vault) changeRing(ctx context.Context, actor ident.Principal, f func(s *state, next *changing) ([]audit.Event, error)) error {
	s, err := v.open()
	if err != nil {
		return err
	}
	if !actor.Valid() {
		return fault.New(fault.Denied, "a change of the vault's keys needs a caller")
	}
	next := &changing{Ring: s.ring(), refused: maps.Clone(s.refused)}
	evs, err := f(s, next)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(next.Seals, func(o SealRow) bool { return next.refused[o.ID] == nil }) {
		return fault.New(fault.Conflict, "no seal would be left that is trusted: nothing would open the vault again").
			WithHint("add another seal first: sallyport seal add --help")
	}
	next.Root.Rev += int64(len(evs)) // each event is a change that the log counts
	if err := v.authenticate(&next.Ring, next.refused); err != nil {
		return err
	}
	if err := v.store.SaveRing(ctx, s.root.Rev, next.Ring, evs); err != nil {
		return fault.Wrap(fault.KindOf(err), "storing the vault's keys", err)
	}
	// No door is opened with the keys of one ring and the root key of another.
	v.replacing.Lock()
	defer v.replacing.Unlock()
	v.state.Store(s.withRing(next))
	if len(plain.Bytes(next.root)) == 0 {
		return nil
	}
	if err := holdIn(&v.root, plain.New(bytes.Clone(plain.Bytes(next.root)))); err != nil {
		v.lockdown() // what is stored is under a key that is not held
		return err
	}
	v.warnExposed()
	return nil
}

// ring puts a state's keys together.
func (s *state) ring() Ring {
	r := Ring{Root: s.root, Seals: slices.Clone(s.seals)}
	for _, name := range slices.Sorted(maps.Keys(s.tenants)) {
		projects := s.tenants[name].projects
		for _, term := range slices.Sorted(maps.Keys(projects)) {
			r.Projects = append(r.Projects, projects[term])
		}
	}
	return r
}

// withRing is the state with other keys.
func (s *state) withRing(r *changing) *state {
	next := &state{root: r.Root, seals: r.Seals, refused: map[string]error{}, tenants: map[ident.Tenant]*tenant{}}
	for _, row := range r.Seals {
		if why := r.refused[row.ID]; why != nil {
			next.refused[row.ID] = why
		}
	}
	for name, t := range s.tenants {
		c := *t
		c.projects = map[int]ProjectRow{}
		next.tenants[name] = &c
	}
	for _, p := range r.Projects {
		next.tenants[p.Tenant].projects[p.Term] = p
	}
	return next
}

// Ring gives the vault's keys as they are stored, all of them encrypted: what a
// backup needs beside the database's rows to be opened with a seal.
func (v *Vault) Ring() (Ring, error) {
	s, err := v.open()
	if err != nil {
		return Ring{}, err
	}
	return s.ring(), nil
}
