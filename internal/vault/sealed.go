package vault

import (
	"context"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// intakeKey is the subkey from which a tenant's key pair for values on their way
// in is derived. The pair is the same after a restart, and stored nowhere.
const intakeKey = "intake key"

// intakeTime is how long a nonce is good for.
const intakeTime = 10 * time.Minute

// IntakeKey gives the public key that the caller encrypts one value to, with a
// nonce for it; see package intake. Unavailable while the vault is sealed.
func (v *Vault) IntakeKey(t ident.Tenant, actor ident.Principal) (intake.Key, error) {
	if err := checkCaller(t, actor); err != nil {
		return intake.Key{}, err
	}
	var public []byte
	err := v.withIntake(t, func(k hpke.PrivateKey) error {
		public = k.PublicKey().Bytes()
		return nil
	})
	if err != nil {
		return intake.Key{}, err
	}
	until := v.cfg.Now().Add(intakeTime).UTC().Truncate(time.Second)
	return intake.NewKey(t, public, v.nonces.issue(t, actor, until), until), nil
}

// withIntake lends a tenant's private key.
func (v *Vault) withIntake(t ident.Tenant, f func(hpke.PrivateKey) error) error {
	var err error
	lent := v.subkey(intakeKey, t, func(seed []byte) {
		kem, _, _ := intake.Suite()
		var k hpke.PrivateKey
		if k, err = kem.DeriveKeyPair(seed); err != nil {
			err = fault.New(fault.Internal, "deriving the intake key")
			return
		}
		err = f(k)
	})
	if lent != nil {
		return lent
	}
	return err
}

// reveal decrypts w.Sealed into w.Fields. The nonce is spent whatever follows.
func (v *Vault) reveal(ctx context.Context, w *Write) error {
	if w.Sealed == nil {
		return nil
	}
	if err := checkCaller(w.Tenant, w.Actor); err != nil {
		return err
	}
	if len(w.Fields) > 0 {
		return fault.New(fault.Invalid, "a value is given either encrypted or in the clear, not both")
	}
	nonce, sealed, err := intake.Split(w.Sealed)
	if err != nil {
		return err
	}
	about, err := About{Scope: w.Scope, Expires: w.Expires, AnyOrigin: w.AnyOrigin, AlthoughRecorded: w.AlthoughRecorded}.Text()
	if err != nil {
		return err
	}
	if v.Sealed() {
		return errSealed
	}
	if err := v.nonces.spend(w.Tenant, w.Actor, nonce, v.cfg.Now()); err != nil {
		v.cfg.Log.WarnContext(ctx, "an encrypted value was refused: its nonce is not good, or not any more", slog.String("tenant", string(w.Tenant)),
			slog.String("actor", w.Actor.String()), slog.String("secret", fault.Quote(w.Name)), slog.String("why", err.Error()))
		return err
	}
	info := intake.Info(intake.Target{Tenant: w.Tenant, Name: w.Name, About: about}, nonce)
	return v.withIntake(w.Tenant, func(k hpke.PrivateKey) error {
		_, kdf, aead := intake.Suite()
		text, err := hpke.Open(k, kdf, aead, info, sealed)
		if err != nil {
			return fault.New(fault.Invalid, "the encrypted value can't be opened").
				WithHint("it was encrypted to another key, or for another secret, tenant or usage scope than it was sent with")
		}
		w.revealed = plain.New(text)
		w.Fields, err = intake.Unpack(text)
		return err
	})
}

// About is what of a Write says where its value may be used, and what its author
// means.
type About struct {
	Scope            *Scope    `json:"scope,omitempty"`
	Expires          time.Time `json:"expires,omitzero"`
	AnyOrigin        bool      `json:"anyOrigin,omitempty"`
	AlthoughRecorded bool      `json:"althoughRecorded,omitempty"`
}

// Text is what an encrypted value is bound to: JSON as a browser's
// JSON.stringify writes it.
func (a About) Text() (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil {
		return "", fault.New(fault.Invalid, "the usage scope can't be encoded")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// nonces gives out what makes a ciphertext good for once, and remembers what was
// used until it would have expired. Its key is of this process: what was
// captured before a restart is good for nothing after it.
type nonces struct {
	mu   sync.Mutex
	key  []byte
	used map[string]time.Time // to their expiry
}

// Parts of a nonce: the expiry in milliseconds, random bytes, a MAC over both,
// the tenant and who asked.
const (
	nonceMAC  = 16
	nonceBody = intake.NonceSize - nonceMAC
)

func (n *nonces) issue(t ident.Tenant, p ident.Principal, until time.Time) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, intake.NonceSize), uint64(max(0, until.UnixMilli())))
	b = b[:nonceBody]
	_, _ = rand.Read(b[8:]) // never fails
	return append(b, n.mac(t, p, b)...)
}

// mac authenticates a nonce's body.
func (n *nonces) mac(t ident.Tenant, p ident.Principal, body []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.key == nil {
		n.key = make([]byte, box.KeySize)
		_, _ = rand.Read(n.key) // never fails
	}
	m := hmac.New(sha256.New, n.key)
	m.Write(box.Bind("intake nonce", string(t), p.String(), string(body)))
	return m.Sum(nil)[:nonceMAC]
}

// spend takes a nonce, once. Conflict: it is not good any more, or never was.
func (n *nonces) spend(t ident.Tenant, p ident.Principal, nonce []byte, now time.Time) error {
	body := nonce[:nonceBody]
	if !hmac.Equal(n.mac(t, p, body), nonce[nonceBody:]) {
		return fault.New(fault.Conflict, "the encrypted value is not for this sign-in and this start of the server").
			WithHint("encrypt it again, with a fresh intake key")
	}
	until := time.UnixMilli(int64(binary.BigEndian.Uint64(body)))
	if !now.Before(until) {
		return fault.Newf(fault.Conflict, "the encrypted value is older than %d minutes", intakeTime/time.Minute).
			WithHint("encrypt it again, with a fresh intake key")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, end := range n.used {
		if !now.Before(end) {
			delete(n.used, k)
		}
	}
	if _, twice := n.used[string(body)]; twice {
		return fault.New(fault.Conflict, "the encrypted value was sent before").
			WithHint("if it was not you who sent it, somebody repeats what they captured; nothing was stored now")
	}
	if n.used == nil {
		n.used = map[string]time.Time{}
	}
	n.used[string(body)] = until
	return nil
}
