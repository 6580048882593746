package vault

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// Purpose is what a keyed hash is for. The set is closed: each has a key of its
// own for each tenant.
type Purpose string

// The purposes that other packages may use.
const (
	TokenPepper    Purpose = "token pepper"    // of stored session and Run tokens
	IdentityPepper Purpose = "identity pepper" // of passwords, and the source of one-time codes' keys
	AuditValue     Purpose = "audit value"     // of low-entropy values in the audit log
	RowMAC         Purpose = "row-mac"         // of rows elsewhere that steer the use of a Secret
)

// Subkeys that stay in this package.
const (
	vaultRow = "vault row-mac"
	auditKey = "audit signing key"
	sealTag  = "seal tag"
)

// MAC is HMAC-SHA-256 over parts (each length-prefixed) under the tenant's key
// for the purpose: 32 bytes. Unavailable while the vault is sealed.
func (v *Vault) MAC(p Purpose, t ident.Tenant, parts ...string) ([]byte, error) {
	switch p {
	case TokenPepper, IdentityPepper, AuditValue, RowMAC:
		return v.mac(string(p), t, parts...)
	}
	return nil, fault.New(fault.Internal, "a keyed hash without a purpose")
}

func (v *Vault) mac(purpose string, t ident.Tenant, parts ...string) (sum []byte, err error) {
	err = v.subkey(purpose, t, func(key []byte) {
		m := hmac.New(sha256.New, key)
		m.Write(box.Bind("mac", parts...))
		sum = m.Sum(nil)
	})
	return sum, err
}

// subkey lends a key derived from the derivation key; f doesn't keep it.
func (v *Vault) subkey(purpose string, t ident.Tenant, f func(key []byte)) error {
	page := v.derive.Load()
	if page == nil {
		return errSealed
	}
	var err error
	ok := plain.Use(page, func(k []byte) {
		plain.Do(func() {
			var key []byte
			if key, err = hkdf.Key(sha256.New, k, nil, string(box.Bind("sallyport", purpose, string(t))), box.KeySize); err == nil {
				f(key)
				clear(key)
			}
		})
	})
	if !ok {
		return errSealed
	}
	if err != nil {
		return fault.New(fault.Internal, "deriving a key")
	}
	return nil
}

// rowMAC authenticates a row of the vault's own tables.
func (v *Vault) rowMAC(table string, r Row) ([]byte, error) {
	return v.mac(vaultRow, r.Tenant, table, r.Name, strconv.FormatInt(r.Rev, 10), string(r.Body))
}

// checkMAC refuses a row that was not written by a holder of the key, or
// that is in another place than it was written to.
func (v *Vault) checkMAC(table string, r Row) error {
	want, err := v.rowMAC(table, r)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, r.MAC) {
		return fault.New(fault.Denied, "the row was changed by somebody without the key")
	}
	return nil
}

// AuditKey is a generation of the tenant's Ed25519 key for the checkpoints of its
// audit log; the first is 0. It signs while the vault is unsealed; the private key
// is derived for each signature and held nowhere.
func (v *Vault) AuditKey(t ident.Tenant, generation int64) (crypto.Signer, error) {
	s := &signer{v: v, tenant: t, purpose: auditKey}
	if generation > 0 {
		s.purpose += " " + strconv.FormatInt(generation, 10)
	}
	err := s.use(func(k ed25519.PrivateKey) {
		s.public = append(ed25519.PublicKey(nil), k[ed25519.SeedSize:]...)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// signer signs for one tenant.
type signer struct {
	v       *Vault
	tenant  ident.Tenant
	purpose string // of the derived key
	public  ed25519.PublicKey
}

func (s *signer) use(f func(ed25519.PrivateKey)) error {
	return s.v.subkey(s.purpose, s.tenant, func(seed []byte) {
		k := ed25519.NewKeyFromSeed(seed)
		f(k)
		clear(k)
	})
}

// Public is an ed25519.PublicKey.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a message, not a digest of one: opts.HashFunc() has to be zero.
func (s *signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, fault.New(fault.Internal, "an audit key signs messages, not digests")
	}
	err = s.use(func(k ed25519.PrivateKey) { sig = ed25519.Sign(k, message) })
	return sig, err
}
