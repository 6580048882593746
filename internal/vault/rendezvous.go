package vault

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"sync"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// A sealed server can be unsealed from elsewhere. It shows a public key, made
// for this start, and what a seal with a key file or a recovery key needs; the
// client unwraps the root key where the seal is, and encrypts it to that public
// key. Neither the key file nor the recovery key travels. A passphrase does,
// encrypted the same way: what it protects is not shown to strangers, since it
// could be guessed at elsewhere.

// UnsealKey is what a client encrypts to.
type UnsealKey struct {
	ID     string `json:"id"`     // new with each sealed start
	Public []byte `json:"public"` // HPKE: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM
	// Offers are the seals whose root key a client can unwrap.
	Root   RootRow   `json:"root,omitzero"`
	Offers []SealRow `json:"offers,omitempty"`
	// Passphrase says that one unseals the vault.
	Passphrase bool `json:"passphrase"`
}

// Brought is what a client encrypted to an UnsealKey.
type Brought struct {
	Key    string // the UnsealKey's id
	Kind   string // BroughtRoot or BroughtPassphrase
	Sealed []byte
	Source string // the client's address, for the record
}

// What can be brought.
const (
	BroughtRoot       = "root"
	BroughtPassphrase = "passphrase"
)

// meeting is the key pair of a sealed start, and what was refused in it.
type meeting struct {
	mu      sync.Mutex
	id      string
	key     hpke.PrivateKey
	refused map[string]int // by the client's address
}

// maxSources bounds how many addresses are remembered; the rest are counted together.
const maxSources = 100

func (m *meeting) begin() (string, hpke.PrivateKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key == nil {
		k, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
		if err != nil {
			return "", nil, fault.New(fault.Internal, "making a key pair")
		}
		m.id, m.key = ident.New("unseal"), k
	}
	return m.id, m.key, nil
}

// end forgets the key pair.
func (m *meeting) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.key, m.refused = "", nil, nil
}

func (m *meeting) refuse(source string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = map[string]int{}
	}
	if _, known := m.refused[source]; !known && len(m.refused) >= maxSources {
		source = "others"
	}
	m.refused[source]++
}

// UnsealKey gives the public key of this sealed start. Conflict: the vault is
// unsealed. The store is read, so that a client sees the seals that there are.
func (v *Vault) UnsealKey(ctx context.Context, store Store) (UnsealKey, error) {
	if !v.Sealed() {
		return UnsealKey{}, fault.New(fault.Conflict, "the vault is unsealed already")
	}
	snap, err := store.LoadVault(ctx)
	if err != nil {
		return UnsealKey{}, fault.Wrap(fault.KindOf(err), "reading the vault", err)
	}
	id, key, err := v.meet.begin()
	if err != nil {
		return UnsealKey{}, err
	}
	// What a client does not need is not shown: with the derivation key's row,
	// a key file that turns up later would open that without the database.
	out := UnsealKey{ID: id, Public: key.PublicKey().Bytes(), Root: RootRow{Vault: snap.Ring.Root.Vault, Generation: snap.Ring.Root.Generation}}
	for _, row := range snap.Ring.Seals {
		switch row.Sealed.Kind {
		case kek.KindKeyFile, kek.KindRecovery: // of 256 bits: nothing to guess
			row.Tag, row.MAC = nil, nil
			out.Offers = append(out.Offers, row)
		case kek.KindPassphrase:
			out.Passphrase = true
		case kek.KindTransit, kek.KindExec: // reached from where the server is
		}
	}
	return out, nil
}

// Bring unwraps the root key with a seal that the client has, and encrypts it to
// the server. Denied: the seal is not one of the vault's.
func Bring(ctx context.Context, k UnsealKey, seal kek.Seal) (Brought, error) {
	why := error(fault.New(fault.Denied, "the vault was not sealed with a seal of this kind").
		WithHint("the server takes: %s", kindsOf(k.Offers)))
	for _, row := range k.Offers {
		if row.Sealed.Kind != seal.Kind() {
			continue
		}
		root, err := unwrapRoot(ctx, k.Root, row, seal)
		if err != nil {
			why = err
			continue
		}
		defer plain.Wipe(root)
		return encryptTo(k, BroughtRoot, root)
	}
	return Brought{}, why
}

// BringPassphrase encrypts a passphrase to the server, and wipes it.
func BringPassphrase(k UnsealKey, phrase []byte) (Brought, error) {
	defer clear(phrase)
	return encryptTo(k, BroughtPassphrase, plain.New(phrase))
}

// meetInfo is what a ciphertext of a meeting is bound to.
func meetInfo(id, kind string) []byte { return box.Bind("unseal", id, kind) }

func encryptTo(k UnsealKey, kind string, what plain.Value) (Brought, error) {
	pub, err := hpke.DHKEM(ecdh.P256()).NewPublicKey(k.Public)
	if err != nil {
		return Brought{}, fault.New(fault.Invalid, "the server's key can't be read")
	}
	sealed, err := hpke.Seal(pub, hpke.HKDFSHA256(), hpke.AES256GCM(), meetInfo(k.ID, kind), plain.Bytes(what))
	if err != nil {
		return Brought{}, fault.New(fault.Internal, "encrypting to the server")
	}
	return Brought{Key: k.ID, Kind: kind, Sealed: sealed}, nil
}

// UnsealWith is Unseal with what a client brought. Denied: it does not open the
// vault; how often, and from where, is on the record once the vault is unsealed.
func (v *Vault) UnsealWith(ctx context.Context, store Store, b Brought) error {
	what, err := v.meet.open(b)
	if err != nil {
		return err
	}
	defer plain.Wipe(what)
	err = v.unsealBy(ctx, store, func(ring Ring) (opened, error) {
		by := opened{seal: "brought", kind: kek.Kind(b.Kind), source: b.Source}
		if b.Kind == BroughtRoot {
			return by, v.hold(what, ring.Root)
		}
		phrase, err := kek.NewPassphrase(plain.Bytes(what))
		if err != nil {
			return by, err
		}
		by, err = v.openRing(ctx, ring, []kek.Seal{phrase})
		by.source = b.Source
		return by, err
	}, nil)
	if fault.Is(err, fault.Denied) {
		v.meet.refuse(b.Source)
	}
	return err
}

// open decrypts what was brought to this meeting.
func (m *meeting) open(b Brought) (plain.Value, error) {
	m.mu.Lock()
	id, key := m.id, m.key
	m.mu.Unlock()
	if key == nil || b.Key != id || b.Kind != BroughtRoot && b.Kind != BroughtPassphrase {
		return plain.Value{}, fault.New(fault.Conflict, "this was encrypted for another start of the server").
			WithHint("ask for its unseal key again")
	}
	what, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), meetInfo(id, b.Kind), b.Sealed)
	if err != nil {
		return plain.Value{}, fault.New(fault.Invalid, "what was brought can't be decrypted")
	}
	if b.Kind == BroughtRoot && len(what) != box.KeySize {
		clear(what)
		return plain.Value{}, fault.New(fault.Invalid, "what was brought is not a root key")
	}
	return plain.New(what), nil
}

// attempts are the refusals of this sealed start, for the record.
func (v *Vault) attempts() []audit.Event {
	v.meet.mu.Lock()
	defer v.meet.mu.Unlock()
	var evs []audit.Event
	for source, n := range v.meet.refused {
		evs = append(evs, audit.Event{Type: audit.VaultRefused, Tenant: v.cfg.Tenant, At: v.cfg.Now(), Actor: SystemActor,
			Fields: map[string]any{"count": n, "source": source, "why": "the seal was not the right one"}})
	}
	return evs
}
