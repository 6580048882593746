package identity

import (
	"bytes"
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
)

// Challenge is what a browser hands to an authenticator for a signature.
type Challenge struct {
	ID          string    `json:"id"` // "chl_…", to be given back with the answer
	Challenge   []byte    `json:"challenge"`
	Party       string    `json:"party"`       // the relying party's id
	Origin      string    `json:"origin"`      // the only one where it can be answered
	Credentials [][]byte  `json:"credentials"` // that may sign
	ExpiresAt   time.Time `json:"expiresAt"`
}

// Answer is what the authenticator said to a Challenge.
type Answer struct {
	Challenge         string `json:"challenge"` // its id
	Credential        []byte `json:"credential"`
	AuthenticatorData []byte `json:"authenticatorData"`
	ClientData        []byte `json:"clientData"`
	Signature         []byte `json:"signature"`
}

func (a Answer) assertion(nonce []byte) passkey.Assertion {
	return passkey.Assertion{Credential: a.Credential, AuthenticatorData: a.AuthenticatorData, ClientData: a.ClientData, Signature: a.Signature, Nonce: nonce}
}

// Challenge makes one for an act of a person, which one of their passkeys signs
// within two minutes. Denied: they have none that counts yet.
func (d *Directory) Challenge(ctx context.Context, who ident.Principal, act intent.Digest, now time.Time) (Challenge, error) {
	if act == "" {
		return Challenge{}, fault.New(fault.Invalid, "there is nothing to confirm")
	}
	party, rows, err := d.passkeysOf(ctx, who)
	if err != nil {
		return Challenge{}, err
	}
	c := Challenge{Party: party.ID, Origin: party.Origin}
	var waits time.Time
	for _, r := range rows {
		if now.Before(r.UsableAt) {
			waits = r.UsableAt
		} else {
			c.Credentials = append(c.Credentials, r.Credential)
		}
	}
	if len(c.Credentials) == 0 {
		return Challenge{}, noPasskey(waits)
	}
	p, err := d.pend(ctx, who, PendingChallenge, act, challengeLife, now)
	c.ID, c.Challenge, c.ExpiresAt = p.ID, passkey.Challenge(act, p.Nonce), p.ExpiresAt
	return c, err
}

func noPasskey(waits time.Time) error {
	if !waits.IsZero() {
		return fault.Newf(fault.Denied, "your passkey is new, and counts from %s on", waits.UTC().Format("2006-01-02 15:04 UTC")).
			WithHint("the wait gives its owner and the admins time to see one that somebody else enrolled")
	}
	return fault.New(fault.Denied, "your account has no passkey").WithHint("enrol one on the console's page Passkeys; the first takes an admin's link")
}

// passkeysOf is a person's, for the party that the server is now.
func (d *Directory) passkeysOf(ctx context.Context, who ident.Principal) (passkey.Party, []PasskeyRow, error) {
	if !who.Valid() || who.Kind != ident.Person {
		return passkey.Party{}, nil, fault.New(fault.Denied, "only a person has passkeys")
	}
	party, err := d.Party()
	if err != nil {
		return party, nil, err
	}
	rows, err := d.store.Passkeys(ctx, who.Tenant, who.ID)
	return party, slices.DeleteFunc(rows, func(r PasskeyRow) bool { return r.Party != party.ID }), err
}

func (d *Directory) pend(ctx context.Context, who ident.Principal, kind PendingKind, act intent.Digest, life time.Duration, now time.Time) (Pending, error) {
	p := Pending{Tenant: who.Tenant, ID: ident.New("chl"), Account: who.ID, Kind: kind, Act: act, Nonce: randomBytes(passkey.NonceSize), At: now, ExpiresAt: now.Add(life)}
	return p, d.store.Pend(ctx, p, nil)
}

// pending finds what a person was given, of a kind and for an act.
func (d *Directory) pending(ctx context.Context, who ident.Principal, id string, kind PendingKind, act intent.Digest, now time.Time) (Pending, error) {
	p, err := d.store.Pending(ctx, who.Tenant, id)
	if err != nil && !worthless(err) {
		return Pending{}, err
	}
	if err != nil || p.Account != who.ID || p.Kind != kind || !p.Act.Equal(act) || !now.Before(p.ExpiresAt) {
		return Pending{}, fault.New(fault.Denied, "the challenge was used, is too old, or was made for something or somebody else").
			WithHint("begin again on the page")
	}
	return p, nil
}

// ConfirmPasskey makes a Factor for one exact act out of a passkey's answer to a
// challenge for it. The challenge is used up whether the answer is good or not.
// Errors: Denied, Invalid, Limit, Unavailable.
func (d *Directory) ConfirmPasskey(ctx context.Context, who ident.Principal, a Answer, act intent.Digest, now time.Time) (Factor, error) {
	party, rows, err := d.passkeysOf(ctx, who)
	if err != nil {
		return Factor{}, err
	}
	attempts := "passkey/" + who.ID
	wait, err := d.store.TakeAttempt(ctx, who.Tenant, attempts, now, backoff)
	if err != nil {
		return Factor{}, err
	}
	if wait > 0 {
		return Factor{}, fault.Newf(fault.Limit, "too many attempts; try again in %v", wait.Round(time.Second)+time.Second)
	}
	p, err := d.pending(ctx, who, a.Challenge, PendingChallenge, act, now)
	if err != nil {
		return Factor{}, err
	}
	r, err := d.store.AccountByID(ctx, who.Tenant, who.ID)
	if err != nil {
		return Factor{}, err
	}
	use, err := d.judgePasskey(party, rows, r, p, a, now)
	if err != nil {
		if e := d.store.RefusePasskey(ctx, who.Tenant, p.ID, passkeyFailed(who, err, now)); e != nil {
			return Factor{}, e
		}
		return Factor{}, err
	}
	proof := a.assertion(p.Nonce)
	f := Factor{ID: ident.New("fac"), Tenant: who.Tenant, Account: who.ID, Method: MethodPasskey, At: now, For: act, Proof: &proof}
	use.Factor, use.Attempts = &f, attempts
	if err := d.store.UsePasskey(ctx, use); err != nil {
		return Factor{}, changedMeanwhile(err)
	}
	return f, nil
}

func changedMeanwhile(err error) error {
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Denied, "the challenge was used, or the passkey has changed in the meantime").WithHint("begin again on the page")
	}
	return err
}

// judgePasskey says whether an answer is that of one of the account's passkeys.
func (d *Directory) judgePasskey(party passkey.Party, rows []PasskeyRow, r Record, p Pending, a Answer, now time.Time) (PasskeyUse, error) {
	i := slices.IndexFunc(rows, func(k PasskeyRow) bool { return bytes.Equal(k.Credential, a.Credential) })
	switch {
	case r.Disabled || r.MustChange:
		return PasskeyUse{}, fault.New(fault.Denied, "the account is disabled, or its password was chosen by somebody else").WithHint("change your password first")
	case i < 0:
		return PasskeyUse{}, fault.New(fault.Denied, "the passkey is not one of this account's").WithHint("use one that is listed on the console's page Passkeys")
	case now.Before(rows[i].UsableAt):
		return PasskeyUse{}, noPasskey(rows[i].UsableAt)
	}
	k := rows[i]
	key, err := passkey.ParseKey(k.Key)
	if err != nil {
		return PasskeyUse{}, err
	}
	counter, err := party.Verify(key, passkey.Challenge(p.Act, p.Nonce), a.assertion(p.Nonce))
	if err != nil {
		return PasskeyUse{}, err
	}
	if !passkey.Counts(k.Counter, counter) {
		return PasskeyUse{}, fault.New(fault.Denied, "the passkey's count of signatures went back: it was copied").
			WithHint("tell an admin: whoever has the copy can sign as you; remove the passkey, and enrol another")
	}
	return PasskeyUse{Tenant: r.Tenant, Account: r.ID, Revision: r.Revision, Pending: p.ID, Passkey: k.ID, Counter: counter, At: now}, nil
}

// passkeyFailed has an error of ours, in which nothing is that was sent.
func passkeyFailed(who ident.Principal, err error, now time.Time) audit.Event {
	return audit.Event{Type: audit.SessionFailed, Tenant: who.Tenant, At: now, Actor: who.String(),
		Fields: map[string]any{"account": who.ID, "method": MethodPasskey, "why": "confirm: " + audit.Short(err.Error())}}
}
