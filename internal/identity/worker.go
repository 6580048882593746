package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/issuer"
	"sallyport.dev/internal/resource"
)

// Roster lists the outside Workers that a tenant has applied.
type Roster func(ident.Tenant) ([]*resource.Worker, error)

// Issuers says for which Worker somebody else's token stands; see issuer.Verifier.
type Issuers interface {
	Verify(ctx context.Context, token string, ws []*resource.Worker, audience string) (issuer.Shown, error)
}

// workers is what is needed to know outside Workers; without a roster there are none.
type workers struct {
	roster   Roster
	issuers  Issuers
	tenant   ident.Tenant  // whose Workers an issuer's tokens stand for
	audience func() string // what such a token is for
}

// WithWorkers lets outside Workers in: those of the roster, and with tokens of their
// issuers for an audience, which may be "", the ones of the tenant.
func WithWorkers(roster Roster, issuers Issuers, tenant ident.Tenant, audience func() string) Option {
	return func(d *Directory) { d.workers = workers{roster, issuers, tenant, audience} }
}

// MaxWorkerToken is how long a Worker's token is good for at most, and
// DefaultWorkerToken where nothing is said.
const (
	MaxWorkerToken     = 366 * 24 * time.Hour
	DefaultWorkerToken = 90 * 24 * time.Hour
	maxWorkerTokens    = 20 // of one Worker
	usedEvery          = time.Hour
)

// WorkerTokens keeps what outside Workers authenticate with.
type WorkerTokens interface {
	// InsertWorkerToken is a Limit when the Worker has most tokens already.
	InsertWorkerToken(ctx context.Context, r WorkerTokenRow, most int, ev audit.Event) error
	// WorkerTokenByHash is NotFound when there is none, and Denied when what is
	// stored is not what was stored last.
	WorkerTokenByHash(ctx context.Context, hash string) (WorkerTokenRow, error)
	// WorkerTokens lists a Worker's, or with "" everybody's, the oldest first.
	WorkerTokens(ctx context.Context, tenant ident.Tenant, worker string) ([]WorkerTokenRow, error)
	// TouchWorkerToken moves the last use forward.
	TouchWorkerToken(ctx context.Context, tenant ident.Tenant, id string, now time.Time) error
	// RevokeWorkerToken removes one, for good; NotFound when the Worker has none
	// of that id. From then on it opens nothing, nor does what was got with it.
	RevokeWorkerToken(ctx context.Context, tenant ident.Tenant, worker, id string, ev audit.Event) error
}

// WorkerToken is a token of an outside Worker, as people see it.
type WorkerToken struct {
	ID          string    `json:"id"` // "wtk_…"
	Worker      string    `json:"worker"`
	Fingerprint string    `json:"fingerprint"` // the beginning of its keyed hash; the audit log names it so
	By          string    `json:"by"`          // the account that minted it
	CreatedAt   time.Time `json:"createdAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
	UsedAt      time.Time `json:"usedAt,omitzero"` // to the hour
}

// WorkerTokenRow is one as it is stored.
type WorkerTokenRow struct {
	WorkerToken
	Tenant ident.Tenant
	Hash   string // keyed, of the token
	Bind   string // keyed, of the token and the row
}

const fingerprint = 12 // characters of the hash

func (r WorkerTokenRow) auth() ident.Auth {
	return ident.Auth{How: "token:" + r.Fingerprint, Via: r.Hash, Until: r.ExpiresAt}
}

// Workers lists the outside Workers that are applied.
func (d *Directory) Workers(tenant ident.Tenant) ([]*resource.Worker, error) {
	if d.workers.roster == nil {
		return nil, nil
	}
	return d.workers.roster(tenant)
}

// Metadata is what a client has to know to get a token for this server; see RFC 9728.
func (d *Directory) Metadata() (issuer.Metadata, error) {
	w := d.workers
	if w.roster == nil {
		return issuer.MetadataOf("", nil), nil
	}
	all, err := w.roster(w.tenant)
	return issuer.MetadataOf(w.audience(), all), err
}

// Standing finds an outside Worker that may act: one that is applied, is not
// disabled, and whose owner has an account in use. owner is that account's id.
// Denied otherwise, saying why: it is for who knows the Worker's name already.
func (d *Directory) Standing(ctx context.Context, tenant ident.Tenant, name string) (w *resource.Worker, owner string, err error) {
	all, err := d.Workers(tenant)
	if err != nil {
		return nil, "", err
	}
	at := slices.IndexFunc(all, func(w *resource.Worker) bool { return w.Name == name })
	if at < 0 {
		return nil, "", fault.Newf(fault.Denied, "there is no Worker %q any more", fault.Quote(name))
	}
	w = all[at]
	if w.Disabled {
		return nil, "", fault.Newf(fault.Denied, "the Worker %s is disabled", w.Name).WithHint("a builder applies it without disabled")
	}
	r, err := d.store.AccountByName(ctx, tenant, w.Owner)
	switch {
	case worthless(err) || err == nil && r.Disabled:
		return nil, "", fault.Newf(fault.Denied, "nobody answers for the Worker %s: its owner has no account in use", w.Name).
			WithHint("a builder applies it with another owner")
	case err != nil:
		return nil, "", err
	}
	return w, r.ID, nil
}

// MintWorker makes a token for an outside Worker: an admin does, or its owner, with a
// fresh proof. The token is shown this once. Errors: Denied, Invalid, Unauthenticated, Limit.
func (d *Directory) MintWorker(ctx context.Context, who ident.Principal, worker string, life time.Duration, password, code string, now time.Time) (WorkerToken, string, error) {
	if life == 0 {
		life = DefaultWorkerToken
	}
	if life < time.Minute || life > MaxWorkerToken {
		return WorkerToken{}, "", fault.Newf(fault.Invalid, "a Worker's token is good for a minute at least and %d days at most", int(MaxWorkerToken.Hours()/24))
	}
	if err := d.answersFor(ctx, who, worker); err != nil {
		return WorkerToken{}, "", err
	}
	if _, _, err := d.Standing(ctx, who.Tenant, worker); err != nil {
		return WorkerToken{}, "", err
	}
	if password == "" || code == "" {
		return WorkerToken{}, "", fault.New(fault.Denied, "making a Worker's token takes the password and a one-time code")
	}
	token := newToken(WorkerPrefix)
	hash, err := d.tokenHash(token)
	if err != nil {
		return WorkerToken{}, "", err
	}
	r := WorkerTokenRow{Tenant: who.Tenant, Hash: hash, WorkerToken: WorkerToken{ID: ident.New("wtk"), Worker: worker, Fingerprint: hash[:fingerprint], By: who.ID,
		CreatedAt: now, ExpiresAt: now.Add(life)}}
	if r.Bind, err = d.bindWorkerToken(token, r); err != nil {
		return WorkerToken{}, "", err
	}
	f, err := d.Authorize(ctx, who, password, code, sumOf("mint a Worker's token", who.Tenant, worker, r.ID), now)
	if err != nil {
		return WorkerToken{}, "", err
	}
	ev := audit.Event{Type: audit.WorkerTokenMinted, Tenant: who.Tenant, At: now, Actor: who.String(),
		Fields: map[string]any{"worker": worker, "name": r.ID, "auth": r.auth().How, "expires": r.ExpiresAt, "factor": f.ID, "method": f.Method}}
	if err := d.store.InsertWorkerToken(ctx, r, maxWorkerTokens, ev); err != nil {
		return WorkerToken{}, "", err
	}
	return r.WorkerToken, token, nil
}

// RevokeWorker ends a Worker's token at once, with the Runs' tokens that it was
// exchanged for: an admin does, or the owner. It takes no fresh proof: what only
// takes away must be quick.
func (d *Directory) RevokeWorker(ctx context.Context, who ident.Principal, worker, id string, now time.Time) error {
	if err := d.answersFor(ctx, who, worker); err != nil {
		return err
	}
	return d.store.RevokeWorkerToken(ctx, who.Tenant, worker, id, audit.Event{Type: audit.WorkerTokenRevoked, Tenant: who.Tenant, At: now, Actor: who.String(),
		Fields: map[string]any{"worker": worker, "name": id, "why": "it was revoked"}})
}

// WorkerTokens lists a Worker's tokens, for those who answer for it and for auditors.
func (d *Directory) WorkerTokens(ctx context.Context, who ident.Principal, worker string) ([]WorkerToken, error) {
	if !who.Has(ident.Auditor) {
		if err := d.answersFor(ctx, who, worker); err != nil {
			return nil, err
		}
	}
	rows, err := d.store.WorkerTokens(ctx, who.Tenant, worker)
	out := make([]WorkerToken, len(rows))
	for i, r := range rows {
		out[i] = r.WorkerToken
	}
	return out, err
}

// answersFor says whether a person is an admin, or the owner of a Worker. Of one
// that does not exist it says the same to everybody else.
func (d *Directory) answersFor(ctx context.Context, who ident.Principal, worker string) error {
	all, err := d.Workers(who.Tenant)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(w *resource.Worker) bool { return w.Name == worker })
	admin := who.Valid() && who.Has(ident.Admin)
	if !admin && at >= 0 && who.Valid() && who.Kind == ident.Person {
		r, err := d.store.AccountByName(ctx, who.Tenant, all[at].Owner)
		if err != nil && !worthless(err) {
			return err
		}
		admin = err == nil && r.ID == who.ID && !r.Disabled
	}
	switch {
	case !admin:
		return fault.New(fault.Denied, "an admin or the Worker's owner does this")
	case at < 0:
		return fault.Newf(fault.NotFound, "there is no Worker %q", fault.Quote(worker)).WithHint("list them with: sallyport worker list")
	}
	return nil
}

// Caller says for which Run or outside Worker a bearer token stands: a Run's, a
// Worker's, or one of an issuer. A person's session is none of them. Errors:
// Unauthenticated, which does not say why; Unavailable.
func (d *Directory) Caller(ctx context.Context, bearer string, now time.Time) (ident.Principal, error) {
	if strings.Count(bearer, ".") == 2 {
		return d.vouchedFor(ctx, bearer)
	}
	prefix, err := ParseToken(bearer)
	if err != nil {
		return ident.Principal{}, err
	}
	switch prefix {
	case RunPrefix:
		return d.authenticateRun(ctx, bearer, now)
	case WorkerPrefix:
		return d.authenticateWorker(ctx, bearer, now)
	}
	return ident.Principal{}, signInNeeded()
}

// Callers is Caller with a clock of its own.
type Callers struct {
	Directory *Directory
	Now       func() time.Time
}

// Caller says for which Run or outside Worker a bearer token stands.
func (c Callers) Caller(ctx context.Context, bearer string) (ident.Principal, error) {
	return c.Directory.Caller(ctx, bearer, c.Now())
}

func (d *Directory) authenticateWorker(ctx context.Context, token string, now time.Time) (ident.Principal, error) {
	hash, err := d.tokenHash(token)
	if err != nil {
		return ident.Principal{}, err
	}
	r, err := d.goodWorkerToken(ctx, hash, now)
	if err != nil {
		return ident.Principal{}, err
	}
	bind, err := d.bindWorkerToken(token, r)
	if err != nil {
		return ident.Principal{}, err
	}
	if !sameMAC(r.Bind, bind) {
		return ident.Principal{}, signInNeeded()
	}
	who, err := d.standingAs(ctx, r.Tenant, r.Worker, r.auth())
	if err == nil && now.Sub(r.UsedAt) >= usedEvery {
		err = d.store.TouchWorkerToken(ctx, r.Tenant, r.ID, now.Truncate(usedEvery))
	}
	return who, err
}

// goodWorkerToken finds a token that is not revoked and not over.
func (d *Directory) goodWorkerToken(ctx context.Context, hash string, now time.Time) (WorkerTokenRow, error) {
	r, err := d.store.WorkerTokenByHash(ctx, hash)
	switch {
	case worthless(err):
		return WorkerTokenRow{}, signInNeeded()
	case err != nil:
		return WorkerTokenRow{}, err
	case !sameMAC(r.Hash, hash) || !now.Before(r.ExpiresAt):
		return WorkerTokenRow{}, signInNeeded()
	}
	return r, nil
}

// vouchedFor is the Worker of this server's tenant for which an issuer vouches.
func (d *Directory) vouchedFor(ctx context.Context, token string) (ident.Principal, error) {
	w := d.workers
	if w.roster == nil || w.issuers == nil {
		return ident.Principal{}, signInNeeded()
	}
	all, err := w.roster(w.tenant)
	if err != nil {
		return ident.Principal{}, err
	}
	got, err := w.issuers.Verify(ctx, token, all, w.audience())
	if err != nil {
		return ident.Principal{}, err
	}
	return d.standingAs(ctx, w.tenant, got.Worker, ident.Auth{How: audit.Short("jwt:" + got.Subject + " by " + got.Issuer), Until: got.Expires})
}

func (d *Directory) standingAs(ctx context.Context, tenant ident.Tenant, name string, auth ident.Auth) (ident.Principal, error) {
	w, _, err := d.Standing(ctx, tenant, name)
	if fault.Is(err, fault.Denied) {
		return ident.Principal{}, signInNeeded()
	}
	if err != nil {
		return ident.Principal{}, err
	}
	return ident.Principal{Tenant: tenant, Kind: ident.Worker, ID: w.Name, Name: w.Name, Auth: auth}, nil
}

// MintRunFor makes a token for a Run that an outside Worker has started. It is worth
// no more than what the Worker has shown: it ends with that, and when that is revoked.
func (d *Directory) MintRunFor(ctx context.Context, who ident.Principal, run string, expires, now time.Time) (string, error) {
	if who.Kind != ident.Worker || who.Auth.Until.IsZero() {
		return "", fault.New(fault.Denied, "only an outside Worker gets a token for a Run of its own")
	}
	if who.Auth.Until.Before(expires) {
		expires = who.Auth.Until
	}
	return d.mintRun(ctx, who.Tenant, run, who.Auth.Via, expires, now)
}
