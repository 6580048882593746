package identity

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/passkey"
)

// A person's first passkey is let in by an admin's link, every other one by a
// passkey that they have; and each by their password and a one-time code, too. So
// neither an admin nor somebody at a person's open browser enrols one alone.

// OfferPasskey makes a link's token by which the owner of an account enrols one
// passkey within an hour. It takes the admin's own fresh password and code, and is
// shown this once. Errors: Denied, NotFound, Unauthenticated, Limit.
func (d *Directory) OfferPasskey(ctx context.Context, who ident.Principal, account, password, code string, now time.Time) (token string, expires time.Time, err error) {
	if err := administers(who, who.Tenant); err != nil {
		return "", time.Time{}, err
	}
	if who.ID == account {
		return "", time.Time{}, fault.New(fault.Denied, "nobody makes a link for their own account").WithHint("another admin can")
	}
	if _, err := d.Party(); err != nil {
		return "", time.Time{}, err
	}
	r, err := d.store.AccountByID(ctx, who.Tenant, account)
	if err != nil {
		return "", time.Time{}, err
	}
	if password == "" || code == "" {
		return "", time.Time{}, fault.New(fault.Denied, "a link to enrol a passkey takes the password and a one-time code")
	}
	f, err := d.Authorize(ctx, who, password, code, sumOf("offer a passkey", who.Tenant, r.ID), now)
	if err != nil {
		return "", time.Time{}, err
	}
	token = newToken(LinkPrefix)
	p := Pending{Tenant: who.Tenant, Account: r.ID, Kind: PendingLink, By: who.String(), At: now, ExpiresAt: now.Add(linkLife)}
	if p.ID, err = d.tokenHash(token); err != nil {
		return "", time.Time{}, err
	}
	ev := audit.Event{Type: audit.FactorOffered, Tenant: who.Tenant, At: now, Actor: who.String(),
		Fields: map[string]any{"account": r.ID, "expires": p.ExpiresAt, "factor": f.ID}}
	return token, p.ExpiresAt, d.store.Pend(ctx, p, &ev)
}

// EnrolChallenge is what a browser hands to an authenticator for a new key, and to
// one that the person has for a signature: the challenge is the same.
type EnrolChallenge struct {
	Challenge
	Algorithms []int  `json:"algorithms"` // COSE's numbers, the best first
	User       []byte `json:"user"`       // the account's id
	Name       string `json:"name"`
	// Others are all credentials that the account has: one authenticator needs no
	// second passkey.
	Others [][]byte `json:"others"`
}

// BeginPasskey makes the challenge of an enrolment.
func (d *Directory) BeginPasskey(ctx context.Context, who ident.Principal, now time.Time) (EnrolChallenge, error) {
	party, rows, err := d.passkeysOf(ctx, who)
	if err != nil {
		return EnrolChallenge{}, err
	}
	p, err := d.pend(ctx, who, PendingEnrolment, sumOf("enrol a passkey", who.Tenant, who.ID), enrolmentLife, now)
	c := EnrolChallenge{Challenge: Challenge{ID: p.ID, Challenge: passkey.Challenge(p.Act, p.Nonce), Party: party.ID, Origin: party.Origin, ExpiresAt: p.ExpiresAt},
		Algorithms: passkey.Algorithms, User: []byte(who.ID), Name: who.Name}
	for _, r := range rows {
		c.Others = append(c.Others, r.Credential)
		if !now.Before(r.UsableAt) {
			c.Credentials = append(c.Credentials, r.Credential)
		}
	}
	return c, err
}

// Enrolling is a new passkey with what lets it in.
type Enrolling struct {
	Challenge   string  `json:"challenge"` // id of an EnrolChallenge
	Name        string  `json:"name"`
	Attestation []byte  `json:"attestation"` // WebAuthn's attestation object
	ClientData  []byte  `json:"clientData"`
	Link        string  `json:"link,omitempty"`   // an admin's, or
	Answer      *Answer `json:"answer,omitempty"` // of a passkey to the same challenge
	Password    string  `json:"password"`
	Code        string  `json:"code"` // one-time code
}

// EnrolPasskey stores a new passkey. The code is asked for last: what is wrong
// otherwise uses none up. Errors: Denied, Invalid, Unauthenticated, Limit, Conflict.
func (d *Directory) EnrolPasskey(ctx context.Context, who ident.Principal, e Enrolling, now time.Time) (Passkey, error) {
	party, rows, err := d.passkeysOf(ctx, who)
	if err != nil {
		return Passkey{}, err
	}
	if err := checkPasskeyName(e.Name); err != nil {
		return Passkey{}, err
	}
	p, err := d.pending(ctx, who, e.Challenge, PendingEnrolment, sumOf("enrol a passkey", who.Tenant, who.ID), now)
	if err != nil {
		return Passkey{}, err
	}
	cred, err := party.Enrol(passkey.Challenge(p.Act, p.Nonce), e.Attestation, e.ClientData)
	if err != nil {
		return Passkey{}, err
	}
	n := NewPasskey{Pending: p.ID}
	by, err := d.letIn(ctx, who, e, party, rows, p, &n, now)
	if err != nil {
		return Passkey{}, err
	}
	if e.Password == "" || e.Code == "" {
		return Passkey{}, fault.New(fault.Denied, "enrolling a passkey takes the password and a one-time code")
	}
	if _, err := d.Authorize(ctx, who, e.Password, e.Code, sumOf("enrol a passkey", who.Tenant, who.ID, passkey.Hash(cred.ID)), now); err != nil {
		return Passkey{}, err
	}
	n.Row = PasskeyRow{Tenant: who.Tenant, Account: who.ID, Party: party.ID, Credential: cred.ID, Key: cred.Key.Bytes(), Counter: cred.Counter,
		Passkey: Passkey{ID: ident.New("pky"), Name: e.Name, Algorithm: cred.Key.Algorithm(), AAGUID: cred.AAGUID, Synced: cred.Synced,
			CreatedAt: now, UsableAt: now.Add(d.passkeys.wait)}}
	if err := d.store.EnrolPasskey(ctx, n, passkeyEnrolled(who, n.Row, by, now)); err != nil {
		return Passkey{}, err
	}
	return n.Row.Passkey, nil
}

// letIn says who lets a new passkey in: an admin by a link, or a passkey that counts.
func (d *Directory) letIn(ctx context.Context, who ident.Principal, e Enrolling, party passkey.Party, rows []PasskeyRow, p Pending, n *NewPasskey, now time.Time) (by string, err error) {
	if e.Answer != nil {
		r, err := d.store.AccountByID(ctx, who.Tenant, who.ID)
		if err != nil {
			return "", err
		}
		use, err := d.judgePasskey(party, rows, r, p, *e.Answer, now)
		n.By = &use
		return "passkey:" + use.Passkey, err
	}
	bad := fault.New(fault.Denied, "a passkey is let in by an admin's link, or by a passkey of yours that counts").
		WithHint("links are good once, for one account and for an hour: sallyport account passkey-link NAME")
	if prefix, err := ParseToken(e.Link); err != nil || prefix != LinkPrefix {
		return "", bad
	}
	id, err := d.tokenHash(e.Link)
	if err != nil {
		return "", err
	}
	link, err := d.store.Pending(ctx, who.Tenant, id)
	switch {
	case err != nil && !worthless(err):
		return "", err
	case err != nil || link.Kind != PendingLink || link.Account != who.ID || !now.Before(link.ExpiresAt):
		return "", bad
	}
	n.Link = link.ID
	return link.By, nil
}
