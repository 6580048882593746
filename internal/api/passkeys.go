package api

import (
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// Passkeys is a list of an account's passkeys.
type Passkeys struct {
	Passkeys []identity.Passkey `json:"passkeys"`
}

// PasskeyLink is an admin's link by which a person enrols one passkey. What lets it
// in stands after "#", which no server is sent. It is shown this once.
type PasskeyLink struct {
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// VerdictAsked is a request for a challenge: the verdict that a passkey is to sign.
type VerdictAsked struct {
	Verdict decision.Verdict `json:"verdict"` // approve, reject or break-glass
	Digest  intent.Digest    `json:"digest"`  // of the action that was looked at
}

func (a *API) passkeys() {
	handle(a, "GET", "/v1/me/passkeys", "List one's own passkeys", signedIn, func(c *call, _ none) (Passkeys, error) {
		l, err := a.Directory.Passkeys(c.Context(), c.who, c.who.ID)
		return Passkeys{emptied(l)}, err
	})
	handle(a, "POST", "/v1/me/passkeys/challenge", "Begin to enrol a passkey", signedIn, func(c *call, _ none) (identity.EnrolChallenge, error) {
		return a.Directory.BeginPasskey(c.Context(), c.who, a.Now())
	})
	handle(a, "POST", "/v1/me/passkeys", "Enrol a passkey, with an admin's link or another passkey, and with password and one-time code", signedIn, func(c *call, in identity.Enrolling) (identity.Passkey, error) {
		return a.Directory.EnrolPasskey(c.Context(), c.who, in, a.Now())
	})
	handle(a, "POST", "/v1/me/passkeys/{passkey}/remove", "Remove one's own passkey, with password and one-time code", signedIn, func(c *call, in Fresh) (none, error) {
		return none{}, a.Directory.RemovePasskey(c.Context(), c.who, c.who.ID, c.PathValue("passkey"), in.Password, in.Code, a.Now())
	})
	handle(a, "GET", "/v1/accounts/{account}/passkeys", "List an account's passkeys", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Passkeys, error) {
		l, err := a.Directory.Passkeys(c.Context(), c.who, c.PathValue("account"))
		return Passkeys{emptied(l)}, err
	})
	handle(a, "POST", "/v1/accounts/{account}/passkey-link", "Make a link by which its owner enrols one passkey, with password and one-time code", with(ident.Admin), func(c *call, in Fresh) (PasskeyLink, error) {
		token, expires, err := a.Directory.OfferPasskey(c.Context(), c.who, c.PathValue("account"), in.Password, in.Code, a.Now())
		if err != nil {
			return PasskeyLink{}, err
		}
		p, err := a.Directory.Party()
		return PasskeyLink{p.Origin + "/passkeys#" + token, expires}, err
	})
	handle(a, "POST", "/v1/accounts/{account}/passkeys/{passkey}/remove", "Remove an account's passkey, with password and one-time code", with(ident.Admin), func(c *call, in Fresh) (none, error) {
		return none{}, a.Directory.RemovePasskey(c.Context(), c.who, c.PathValue("account"), c.PathValue("passkey"), in.Password, in.Code, a.Now())
	})
	handle(a, "POST", "/v1/decisions/{decision}/challenge", "Begin a verdict by passkey", with(ident.Approver, ident.Admin), a.challenge)
}

// challenge makes one for a verdict that can count.
func (a *API) challenge(c *call, in VerdictAsked) (identity.Challenge, error) {
	it, err := a.item(c)
	switch {
	case err != nil:
		return identity.Challenge{}, err
	case !in.Verdict.Known():
		return identity.Challenge{}, decision.Refuse(decision.NoVerdict)
	case !in.Digest.Equal(it.Decision.Digest):
		return identity.Challenge{}, decision.Refuse(decision.Changed)
	}
	no, err := a.Desk.Would(c.Context(), c.who, it, in.Verdict, a.Now())
	if err == nil {
		err = no
	}
	if err != nil {
		return identity.Challenge{}, err
	}
	return a.Directory.Challenge(c.Context(), c.who, it.Decision.Act(in.Verdict, c.who.ID), a.Now())
}

// factor makes the proof that a verdict came with; nil where it came with none that
// can count, and the Desk refuses it.
func (a *API) factor(c *call, in Verdict, it decision.Item) (*decision.Factor, error) {
	act := it.Decision.Act(in.Verdict, c.who.ID)
	var f identity.Factor
	var err error
	switch {
	case !in.Verdict.Known(), it.Held != nil && in.Verdict != decision.Reject:
		return nil, nil //nolint:nilnil // no proof is an answer: the Desk says why, on the record
	case in.Passkey != nil && (in.Password != "" || in.Code != ""):
		return nil, fault.New(fault.Invalid, "the verdict has both a passkey's answer and a password")
	case in.Passkey != nil:
		f, err = a.Directory.ConfirmPasskey(c.Context(), c.who, *in.Passkey, act, a.Now())
	case in.Password == "" || in.Code == "" || it.Decision.Passkey: // no code is spent in vain
		return nil, nil //nolint:nilnil // as above
	default:
		return a.freshly(c, in.Password, in.Code, act)
	}
	if err != nil {
		return nil, err
	}
	out := decision.Factor(f)
	return &out, nil
}

// freshly confirms an act by password and one-time code.
func (a *API) freshly(c *call, password, code string, act intent.Digest) (*decision.Factor, error) {
	f, err := a.Directory.Confirm(c.Context(), c.who, password, code, act, a.Now())
	if err != nil {
		return nil, err
	}
	out := decision.Factor(f)
	return &out, nil
}
