package identity

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
)

// MethodPasskey is the method of a Factor of a passkey.
const MethodPasskey = "passkey"

// MaxPasskeys is how many an account can have.
const MaxPasskeys = 10

// WaitingPeriod is how long after its enrolment a passkey decides nothing, where
// the server says nothing else: long enough for its owner, or an admin, to see in
// the log one that somebody else enrolled.
const WaitingPeriod = 24 * time.Hour

// Passkey is a WebAuthn credential of an account, as shown.
type Passkey struct {
	ID        string    `json:"id"` // "pky_…"
	Name      string    `json:"name"`
	Algorithm string    `json:"algorithm"`
	AAGUID    string    `json:"aaguid"` // which model of authenticator
	Synced    bool      `json:"synced"` // it may be on several devices
	CreatedAt time.Time `json:"createdAt"`
	UsableAt  time.Time `json:"usableAt"` // its waiting period ends
	UsedAt    time.Time `json:"usedAt,omitzero"`
}

// PasskeyRow is a passkey as it is stored.
type PasskeyRow struct {
	Passkey
	Tenant     ident.Tenant
	Account    string
	Party      string // whom it is for: a host's name
	Credential []byte
	Key        []byte // SubjectPublicKeyInfo
	Counter    uint32 // of the last signature
}

// Pending is something that waits for a passkey: a challenge that an authenticator
// is to answer, or an admin's link by which one is enrolled. Each is good once.
type Pending struct {
	Tenant    ident.Tenant
	ID        string // of a link, the keyed hash of its token
	Account   string // whose it is
	Kind      PendingKind
	Act       intent.Digest // that a challenge is for
	Nonce     []byte        // of a challenge
	By        string        // who gave the link
	At        time.Time
	ExpiresAt time.Time
}

// PendingKind says what is pending.
type PendingKind string

// The kinds.
const (
	PendingChallenge PendingKind = "challenge" // to be signed by a passkey
	PendingEnrolment PendingKind = "enrolment" // for a new passkey, and for an old one that lets it in
	PendingLink      PendingKind = "link"
)

// How long things are pending. A challenge is answered at once, with a finger.
const (
	challengeLife = 2 * time.Minute
	enrolmentLife = 5 * time.Minute
	linkLife      = time.Hour
)

// PasskeyUse is one answer of a passkey that was found good.
type PasskeyUse struct {
	Tenant   ident.Tenant
	Account  string
	Revision int64  // of the account, as it was judged
	Pending  string // the challenge, which is used up
	Passkey  string // id
	Counter  uint32 // of the signature
	At       time.Time
	Attempts string // the key whose count ends
	Factor   *Factor
}

// NewPasskey is a passkey to be stored, with what let it in.
type NewPasskey struct {
	Row     PasskeyRow
	Pending string      // the challenge, which is used up
	Link    string      // the link, which is used up, or ""
	By      *PasskeyUse // the passkey that let it in, or nil
}

// Passkeys keeps people's passkeys.
type Passkeys interface {
	// Passkeys lists those of an account, the oldest first. Denied as a whole when
	// one is not what was stored last.
	Passkeys(ctx context.Context, tenant ident.Tenant, account string) ([]PasskeyRow, error)
	// EnrolPasskey is a Conflict when the challenge or the link was used, and when
	// the credential is known or the account has MaxPasskeys.
	EnrolPasskey(ctx context.Context, n NewPasskey, ev audit.Event) error
	// RemovePasskey is NotFound when the account has none of that id.
	RemovePasskey(ctx context.Context, tenant ident.Tenant, account, id string, ev audit.Event) error
}

// Pendings keeps what waits for a passkey.
type Pendings interface {
	// Pend stores p. Of an account's challenges the latest few are kept.
	Pend(ctx context.Context, p Pending, ev *audit.Event) error
	// Pending is NotFound when there is none, or when it was used.
	Pending(ctx context.Context, tenant ident.Tenant, id string) (Pending, error)
	// UsePasskey uses the challenge up, moves the passkey's count and stores the
	// Factor. Conflict: the challenge was used, the count does not go on, or the
	// account or the passkey has changed.
	UsePasskey(ctx context.Context, u PasskeyUse) error
	// RefusePasskey uses a challenge up that was answered badly, with the entry.
	RefusePasskey(ctx context.Context, tenant ident.Tenant, pending string, ev audit.Event) error
}

// passkeys is how this server has passkeys.
type passkeys struct {
	party func() (passkey.Party, error) // whom they are for, when the server knows
	wait  time.Duration
}

// Option changes what New makes.
type Option func(*Directory)

// WithPasskeys says whom passkeys are for, and how long a new one waits.
func WithPasskeys(party func() (passkey.Party, error), wait time.Duration) Option {
	return func(d *Directory) { d.passkeys = passkeys{party, wait} }
}

// Party is whom passkeys are for; Unavailable where the server can't have any.
func (d *Directory) Party() (passkey.Party, error) {
	if d.passkeys.party == nil {
		return passkey.Party{}, fault.New(fault.Unavailable, "this server has no passkeys").WithHint("start it with --public-url")
	}
	return d.passkeys.party()
}

// Passkeys lists an account's: its owner's own, or for an admin or auditor of the
// tenant anybody's.
func (d *Directory) Passkeys(ctx context.Context, who ident.Principal, account string) ([]Passkey, error) {
	if !who.Valid() || who.Kind == ident.Run || who.ID != account && who.Kind != ident.System && !who.Has(ident.Admin) && !who.Has(ident.Auditor) {
		return nil, fault.New(fault.Denied, "only their owner, an admin or an auditor may see an account's passkeys")
	}
	if _, err := d.store.AccountByID(ctx, who.Tenant, account); err != nil {
		return nil, err
	}
	rows, err := d.store.Passkeys(ctx, who.Tenant, account)
	if err != nil {
		return nil, err
	}
	out := make([]Passkey, len(rows))
	for i, r := range rows {
		out[i] = r.Passkey
	}
	return out, nil
}

// RemovePasskey forgets a passkey: an admin anybody's, and its owner with a fresh
// password and one-time code. Errors: Denied, NotFound, Unauthenticated, Limit.
func (d *Directory) RemovePasskey(ctx context.Context, who ident.Principal, account, id, password, code string, now time.Time) error {
	why := "its owner removed it"
	if who.Kind != ident.Person || who.ID != account {
		if err := administers(who, who.Tenant); err != nil {
			return err
		}
		why = "an admin removed it"
	}
	if password == "" || code == "" {
		return fault.New(fault.Denied, "removing a passkey takes the password and a one-time code")
	}
	if _, err := d.Authorize(ctx, who, password, code, sumOf("remove a passkey", who.Tenant, account, id), now); err != nil {
		return err
	}
	rows, err := d.store.Passkeys(ctx, who.Tenant, account)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r PasskeyRow) bool { return r.ID == id })
	if i < 0 {
		return fault.New(fault.NotFound, "the account has no such passkey")
	}
	return d.store.RemovePasskey(ctx, who.Tenant, account, id, PasskeyRemoved(who.String(), rows[i], why, now))
}

// PasskeyRemoved is the entry of a passkey that is gone.
func PasskeyRemoved(actor string, r PasskeyRow, why string, now time.Time) audit.Event {
	return audit.Event{Type: audit.FactorRemoved, Tenant: r.Tenant, At: now, Actor: actor,
		Fields: map[string]any{"account": r.Account, "factor": r.ID, "credentialHash": passkey.Hash(r.Credential), "why": why}}
}

func passkeyEnrolled(who ident.Principal, r PasskeyRow, by string, now time.Time) audit.Event {
	return audit.Event{Type: audit.FactorEnrolled, Tenant: r.Tenant, At: now, Actor: who.String(), Fields: map[string]any{
		"account": r.Account, "factor": r.ID, "name": r.Name, "method": MethodPasskey, "by": by, "credentialHash": passkey.Hash(r.Credential),
		"key": audit.Octets(r.Key), "algorithm": r.Algorithm, "aaguid": r.AAGUID, "party": r.Party, "usable": r.UsableAt}}
}

// sumOf is the digest of an act that is no verdict. No part has a line's end: they
// are ids, and constants.
func sumOf(act string, tenant ident.Tenant, parts ...string) intent.Digest {
	return intent.SHA256([]byte("sallyport act v1\n" + act + "\n" + string(tenant) + "\n" + strings.Join(parts, "\n")))
}

// checkPasskeyName is that of an account's display name.
func checkPasskeyName(s string) error {
	if s == "" || len(s) > maxDisplay || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return fault.Newf(fault.Invalid, "the passkey's name is empty, longer than %d bytes, or has invisible characters", maxDisplay)
	}
	return nil
}
