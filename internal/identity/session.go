package identity

import (
	"cmp"
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Lives of a session.
const (
	sessionIdle     = 12 * time.Hour
	sessionAbsolute = 7 * 24 * time.Hour
	touchEvery      = time.Minute // how precisely the last use is kept
	maxRunToken     = 60 * 24 * time.Hour
)

// Session is who is signed in, and until when.
type Session struct {
	ID         string          `json:"id"` // "ses_…"
	Principal  ident.Principal `json:"principal"`
	ExpiresAt  time.Time       `json:"expiresAt"` // at the latest
	MustChange bool            `json:"mustChange"`
}

// SessionRow is a session as it is stored.
type SessionRow struct {
	Tenant    ident.Tenant
	ID        string
	Account   string
	Hash      string // keyed, of the token
	Bind      string // keyed, of the token and the row
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
	EndedAt   time.Time // zero: it has not been ended
}

// RunRow is a Run's token as it is stored.
type RunRow struct {
	Tenant    ident.Tenant
	ID        string // "rtk_…"
	Run       string
	Hash      string // keyed, of the token
	Bind      string // keyed, of the token and the row
	Via       string // the keyed hash of the Worker's token that it was got with, or empty
	CreatedAt time.Time
	ExpiresAt time.Time
}

func (s SessionRow) session(a Account) Session {
	return Session{ID: s.ID, Principal: a.Principal(), ExpiresAt: s.ExpiresAt, MustChange: a.MustChange}
}

func (d *Directory) newSession(a Account, now time.Time) (s SessionRow, token string, err error) {
	token = newToken(SessionPrefix)
	s = SessionRow{Tenant: a.Tenant, ID: ident.New("ses"), Account: a.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(sessionAbsolute)}
	if s.Hash, err = d.tokenHash(token); err != nil {
		return SessionRow{}, "", err
	}
	if s.Bind, err = d.bindSession(token, s); err != nil {
		return SessionRow{}, "", err
	}
	return s, token, nil
}

func signInNeeded() error {
	return fault.New(fault.Unauthenticated, "the token is not valid, or not any more").WithHint("sign in again")
}

// Authenticate says who a token is: a person, or a Worker as its Run. Errors:
// Unauthenticated, the same for every reason; Unavailable.
func (d *Directory) Authenticate(ctx context.Context, token string, now time.Time) (ident.Principal, error) {
	prefix, err := ParseToken(token)
	if err != nil {
		return ident.Principal{}, err
	}
	switch prefix {
	case RunPrefix:
		return d.authenticateRun(ctx, token, now)
	case LinkPrefix, WorkerPrefix: // is nobody here; a Worker is asked for by Caller
		return ident.Principal{}, signInNeeded()
	}
	s, err := d.session(ctx, token, now)
	if err != nil {
		return ident.Principal{}, err
	}
	r, err := d.store.AccountByID(ctx, s.Tenant, s.Account)
	switch {
	case worthless(err):
		return ident.Principal{}, signInNeeded()
	case err != nil:
		return ident.Principal{}, err
	case r.Disabled:
		return ident.Principal{}, signInNeeded()
	}
	if now.Sub(s.SeenAt) >= touchEvery {
		if err := d.store.TouchSession(ctx, s.Tenant, s.ID, now); err != nil {
			return ident.Principal{}, err
		}
	}
	return r.Principal(), nil
}

// session finds the open session of a token.
func (d *Directory) session(ctx context.Context, token string, now time.Time) (SessionRow, error) {
	hash, err := d.tokenHash(token)
	if err != nil {
		return SessionRow{}, err
	}
	s, err := d.store.SessionByHash(ctx, hash)
	if worthless(err) {
		return SessionRow{}, signInNeeded()
	}
	if err != nil {
		return SessionRow{}, err
	}
	bind, err := d.bindSession(token, s)
	if err != nil {
		return SessionRow{}, err
	}
	if !sameMAC(s.Bind, bind) || !s.EndedAt.IsZero() || !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= sessionIdle {
		return SessionRow{}, signInNeeded()
	}
	return s, nil
}

// SignOut ends the session of a token.
func (d *Directory) SignOut(ctx context.Context, token string, now time.Time) error {
	if prefix, err := ParseToken(token); err != nil || prefix != SessionPrefix {
		return signInNeeded()
	}
	s, err := d.session(ctx, token, now)
	if err != nil {
		return err
	}
	return d.store.EndSession(ctx, s.Tenant, s.ID, sessionEnded(s, now))
}

// MintRun makes a token that authenticates as the Run until it ends, or until
// expires. Errors: Invalid, Conflict when the Run has ended.
func (d *Directory) MintRun(ctx context.Context, tenant ident.Tenant, run string, expires, now time.Time) (string, error) {
	return d.mintRun(ctx, tenant, run, "", expires, now)
}

func (d *Directory) mintRun(ctx context.Context, tenant ident.Tenant, run, via string, expires, now time.Time) (string, error) {
	if tenant == "" || run == "" || !expires.After(now) || expires.Sub(now) > maxRunToken {
		return "", fault.Newf(fault.Invalid, "a Run's token needs a tenant, a Run and an end within %d days", int(maxRunToken.Hours()/24))
	}
	token := newToken(RunPrefix)
	r := RunRow{Tenant: tenant, ID: ident.New("rtk"), Run: run, Via: via, CreatedAt: now, ExpiresAt: expires}
	var err error
	if r.Hash, err = d.tokenHash(token); err != nil {
		return "", err
	}
	if r.Bind, err = d.bindRun(token, r); err != nil {
		return "", err
	}
	if err := d.store.InsertRunToken(ctx, r); err != nil {
		return "", err
	}
	return token, nil
}

// EndRun ends every token of the Run, for good.
func (d *Directory) EndRun(ctx context.Context, tenant ident.Tenant, run string, now time.Time) error {
	return d.store.EndRunTokens(ctx, tenant, run, now)
}

func (d *Directory) authenticateRun(ctx context.Context, token string, now time.Time) (ident.Principal, error) {
	hash, err := d.tokenHash(token)
	if err != nil {
		return ident.Principal{}, err
	}
	r, err := d.store.RunByHash(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return ident.Principal{}, signInNeeded()
	}
	if err != nil {
		return ident.Principal{}, err
	}
	bind, err := d.bindRun(token, r)
	if err != nil {
		return ident.Principal{}, err
	}
	if !sameMAC(r.Bind, bind) || !now.Before(r.ExpiresAt) {
		return ident.Principal{}, signInNeeded()
	}
	who := ident.Principal{Tenant: r.Tenant, Kind: ident.Run, ID: r.Run, Name: r.Run}
	if r.Via != "" { // and it is worth no more than what it was got with
		w, err := d.goodWorkerToken(ctx, r.Via, now)
		if err != nil || w.Tenant != r.Tenant {
			return ident.Principal{}, cmp.Or(err, signInNeeded())
		}
		who.Auth = w.auth()
	}
	return who, nil
}

// Sweep forgets what has been worthless for a day. Used factors stay: they are
// part of the record of their Decisions.
func (d *Directory) Sweep(ctx context.Context, now time.Time) error {
	return d.store.SweepIdentity(ctx, now.Add(-24*time.Hour))
}
