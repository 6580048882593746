package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// AtHand is a seal that the server was started with.
type AtHand struct {
	Kind        kek.Kind `json:"kind"`
	Seal        string   `json:"seal,omitempty"`        // which of the vault's it is; empty: none
	Unreachable bool     `json:"unreachable,omitempty"` // and so, not known which
	With        kek.Seal `json:"-"`                     // nil: a passphrase, which is not kept
}

// Seals are the vault's, and those that the server was started with.
type Seals struct {
	Seals  []vault.SealInfo `json:"seals"`
	AtHand []AtHand         `json:"atHand"`
	// Alone says that the server, started again as it was, unseals by itself.
	Alone bool `json:"alone"`
}

// Fresh is the proof that a change of seals and keys takes: a session's token
// alone changes none.
type Fresh struct {
	Password string `json:"password"`
	Code     string `json:"code"` // one-time code
}

// NewSeal is a seal to add. A key file, a key service and a program are those that
// the server was started with: no path comes over the API.
type NewSeal struct {
	Kind       kek.Kind        `json:"kind"`
	Passphrase Value           `json:"passphrase,omitempty"` // of the kind passphrase
	Public     json.RawMessage `json:"public,omitempty"`     // of the kind recovery: what made the recovery key printed
	Fresh
}

// RenewedSeal is what a seal is renewed with.
type RenewedSeal struct {
	Passphrase Value `json:"passphrase,omitempty"` // of the kind passphrase
	Fresh
}

func (a *API) seals() {
	handle(a, "GET", "/v1/seals", "List the vault's seals, and those that the server was started with", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Seals, error) {
		return a.listSeals(c)
	})
	handle(a, "POST", "/v1/seals", "Add a seal, with password and one-time code", with(ident.Admin), a.addSeal)
	handle(a, "POST", "/v1/seals/{seal}/renew", "Give a seal a new secret, with password and one-time code", with(ident.Admin), a.renewSeal)
	handle(a, "POST", "/v1/seals/{seal}/remove", "Remove a seal and replace the root key, with password and one-time code", with(ident.Admin), a.removeSeal)
}

// ours refuses whoever belongs to another tenant: seals are of the whole vault.
func (a *API) ours(c *call) error {
	if c.who.Tenant != a.Tenant {
		return fault.New(fault.Denied, "the vault's seals and keys are not this tenant's")
	}
	return nil
}

func (a *API) listSeals(c *call) (Seals, error) {
	if err := a.ours(c); err != nil {
		return Seals{}, err
	}
	l, err := a.Vault.Seals()
	if err != nil {
		return Seals{}, err
	}
	hand, err := a.Keeper.AtHand(c.Context())
	out := Seals{Seals: emptied(l), AtHand: emptied(hand)}
	out.Alone = slices.ContainsFunc(hand, func(h AtHand) bool { return h.Seal != "" })
	return out, err
}

// authorize takes a fresh proof that the caller means exactly this act. All of
// the act is in it, so that the record says what was confirmed.
func (a *API) authorize(c *call, f Fresh, act map[string]any) error {
	if err := a.ours(c); err != nil {
		return err
	}
	if f.Password == "" || f.Code == "" {
		return fault.New(fault.Denied, "a change of seals and keys takes the password and a one-time code")
	}
	act["tenant"], act["account"] = c.who.Tenant, c.who.ID
	b, err := intent.Marshal(act)
	if err != nil {
		return fault.New(fault.Invalid, "the change can't be described")
	}
	sum := sha256.Sum256(append([]byte("sallyport change of keys v1\n"), b...))
	_, err = a.Directory.Authorize(c.Context(), c.who, f.Password, f.Code, intent.Digest(hex.EncodeToString(sum[:])), a.Now())
	return err
}

func (a *API) addSeal(c *call, in NewSeal) (vault.SealInfo, error) {
	defer clear(in.Passphrase)
	act := map[string]any{"act": "seal.add", "kind": string(in.Kind)}
	switch in.Kind {
	case kek.KindPassphrase:
		seal, err := kek.NewPassphrase(in.Passphrase)
		if err != nil {
			return vault.SealInfo{}, err
		}
		if err := a.authorize(c, in.Fresh, act); err != nil {
			return vault.SealInfo{}, err
		}
		return a.Vault.AddSeal(c.Context(), seal, c.who)
	case kek.KindRecovery:
		p, err := kek.ParseRecoveryPublic(in.Public)
		if err != nil {
			return vault.SealInfo{}, err
		}
		act["key"] = p.ID
		if err := a.authorize(c, in.Fresh, act); err != nil {
			return vault.SealInfo{}, err
		}
		return a.Vault.AddRecovery(c.Context(), in.Public, c.who)
	default:
		seal, err := a.atHand(c, func(h AtHand) bool { return h.Kind == in.Kind && h.Seal == "" })
		if err != nil {
			return vault.SealInfo{}, err
		}
		if err := a.authorize(c, in.Fresh, act); err != nil {
			return vault.SealInfo{}, err
		}
		return a.Vault.AddSeal(c.Context(), seal, c.who)
	}
}

// atHand finds a seal that the server was started with.
func (a *API) atHand(c *call, is func(AtHand) bool) (kek.Seal, error) {
	hand, err := a.Keeper.AtHand(c.Context())
	if err != nil {
		return nil, err
	}
	for _, h := range hand {
		if h.With != nil && is(h) {
			return h.With, nil
		}
	}
	return nil, fault.New(fault.NotFound, "the server was not started with such a seal, or it is one of the vault's already").
		WithHint("start the server with the seal's flag as well, like --key-file; sallyport seal status lists what is at hand")
}

func (a *API) renewSeal(c *call, in RenewedSeal) (vault.SealInfo, error) {
	defer clear(in.Passphrase)
	id := c.PathValue("seal")
	info, err := a.sealOf(c, id)
	if err != nil {
		return vault.SealInfo{}, err
	}
	var seal kek.Seal
	switch info.Kind {
	case kek.KindPassphrase:
		seal, err = kek.NewPassphrase(in.Passphrase)
	case kek.KindRecovery:
		err = fault.New(fault.Invalid, "a recovery key is kept offline, and can't be rotated from here").
			WithHint("make another, add it, and remove this one")
	default:
		seal, err = a.atHand(c, func(h AtHand) bool { return h.Seal == id })
	}
	if err != nil {
		return vault.SealInfo{}, err
	}
	if err := a.authorize(c, in.Fresh, map[string]any{"act": "seal.renew", "seal": id}); err != nil {
		return vault.SealInfo{}, err
	}
	return a.Vault.RenewSeal(c.Context(), id, seal, c.who)
}

// sealOf finds one of the vault's seals.
func (a *API) sealOf(c *call, id string) (vault.SealInfo, error) {
	if err := a.ours(c); err != nil {
		return vault.SealInfo{}, err
	}
	l, err := a.Vault.Seals()
	if err != nil {
		return vault.SealInfo{}, err
	}
	for _, s := range l {
		if s.ID == id {
			return s, nil
		}
	}
	return vault.SealInfo{}, fault.Newf(fault.NotFound, "there is no seal %s", fault.Quote(id)).WithHint("sallyport seal status lists them")
}

func (a *API) removeSeal(c *call, in Fresh) (none, error) {
	id := c.PathValue("seal")
	if _, err := a.sealOf(c, id); err != nil {
		return none{}, err
	}
	if err := a.authorize(c, in, map[string]any{"act": "seal.remove", "seal": id}); err != nil {
		return none{}, err
	}
	return none{}, a.Vault.RemoveSeal(c.Context(), id, c.who)
}
