package identity

import (
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Back-off of guessing at one account.
const (
	freeAttempts = 5               // in a row, before waiting begins
	maxBackoff   = 5 * time.Minute // so that a stranger can only delay a person
)

// backoff is how long attempts are closed after the n-th failure in a row.
func backoff(n int) time.Duration {
	if n < freeAttempts {
		return 0
	}
	return min(2*time.Second<<min(n-freeAttempts, 10), maxBackoff)
}

// worthless says that there is no such row, or none that the store vouches for:
// it was changed by somebody without the vault's keys, and is on the record. Who
// calls is told no more than that of a name that nobody has.
func worthless(err error) bool { return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) }

// refused is the one answer to every sign-in that does not succeed.
func refused() error {
	return fault.New(fault.Unauthenticated, "the name, the password or the one-time code is wrong").
		WithHint("a one-time code works once: wait for the next one")
}

// SignIn starts a session of a person. The token is given here and never
// again. Errors: Unauthenticated, the same for every reason; Limit after too
// many attempts, existing account or not; Unavailable.
func (d *Directory) SignIn(ctx context.Context, tenant ident.Tenant, name, password, code string, now time.Time) (Session, string, error) {
	r, err := d.store.AccountByName(ctx, tenant, name)
	known := &r
	if worthless(err) {
		known = nil
		r, err = decoy(tenant), nil
	}
	if err != nil {
		return Session{}, "", err
	}
	peopled, err := d.store.Peopled(ctx, tenant)
	if err != nil {
		return Session{}, "", err
	}
	if !peopled {
		if _, _, err := d.judge(ctx, &r, attempt{password: password, code: code}, now); err != nil {
			return Session{}, "", err
		}
		return Session{}, "", refused()
	}
	key, err := d.attemptKey(tenant, name, known)
	if err != nil {
		return Session{}, "", err
	}
	p, err := d.prove(ctx, r, attempt{key: key, known: known != nil, purpose: "sign-in", password: password, code: code}, now)
	if err != nil {
		return Session{}, "", err
	}
	s, token, err := d.newSession(r.Account, now)
	if err != nil {
		return Session{}, "", err
	}
	ev := sessionStarted(r.Account, s, now)
	p.Session, p.Event = &s, &ev
	if err := d.accept(ctx, p); err != nil {
		return Session{}, "", err
	}
	return s.session(r.Account), token, nil
}

// Confirm makes a Factor for one exact act out of a fresh password and
// one-time code. act is the act's digest: what is confirmed is what was shown.
// Errors: Unauthenticated, Limit, Invalid, Denied for anything but a person and
// for a person whose password somebody else chose.
func (d *Directory) Confirm(ctx context.Context, who ident.Principal, password, code string, act intent.Digest, now time.Time) (Factor, error) {
	return d.confirm(ctx, who, password, code, act, false, now)
}

// Authorize is Confirm for an act that follows at once, in the same request, and
// that no store uses the factor up for: it is stored as used up. When the act
// then fails, the next one takes another code.
func (d *Directory) Authorize(ctx context.Context, who ident.Principal, password, code string, act intent.Digest, now time.Time) (Factor, error) {
	return d.confirm(ctx, who, password, code, act, true, now)
}

func (d *Directory) confirm(ctx context.Context, who ident.Principal, password, code string, act intent.Digest, used bool, now time.Time) (Factor, error) {
	if act == "" {
		return Factor{}, fault.New(fault.Invalid, "there is nothing to confirm")
	}
	r, p, err := d.proveAgain(ctx, who, "confirm", password, code, now)
	if err != nil {
		return Factor{}, err
	}
	if r.MustChange {
		return Factor{}, fault.New(fault.Denied, "the password was chosen by somebody else").
			WithHint("change your password first")
	}
	f := Factor{ID: ident.New("fac"), Tenant: r.Tenant, Account: r.ID, Method: MethodTOTP, At: now, For: act}
	p.Factor, p.Used = &f, used
	if err := d.accept(ctx, p); err != nil {
		return Factor{}, err
	}
	return f, nil
}

// ChangePassword takes the old password and a one-time code, ends every
// session of the account, and starts a new one.
func (d *Directory) ChangePassword(ctx context.Context, who ident.Principal, old, code, password string, now time.Time) (Session, string, error) {
	if err := checkPassword(password, who.Name); err != nil {
		return Session{}, "", err
	}
	r, p, err := d.proveAgain(ctx, who, "password", old, code, now)
	if err != nil {
		return Session{}, "", err
	}
	if err := checkPassword(password, r.Name); err != nil {
		return Session{}, "", err
	}
	if normal(password) == normal(old) {
		return Session{}, "", fault.New(fault.Invalid, "the new password is the old one")
	}
	if err := d.setPassword(ctx, &r, password); err != nil {
		return Session{}, "", err
	}
	r.MustChange = false
	s, token, err := d.newSession(r.Account, now)
	if err != nil {
		return Session{}, "", err
	}
	ev := accountChanged(who, r.Account, "password", now)
	p.Change, p.Session, p.Event = &r, &s, &ev
	if err := d.accept(ctx, p); err != nil {
		return Session{}, "", err
	}
	return s.session(r.Account), token, nil
}

// proveAgain asks a person who is signed in for a fresh proof.
func (d *Directory) proveAgain(ctx context.Context, who ident.Principal, purpose, password, code string, now time.Time) (Record, Proof, error) {
	if !who.Valid() || who.Kind != ident.Person {
		return Record{}, Proof{}, fault.New(fault.Denied, "only a person can confirm")
	}
	r, err := d.store.AccountByID(ctx, who.Tenant, who.ID)
	if worthless(err) {
		return Record{}, Proof{}, refused()
	}
	if err != nil {
		return Record{}, Proof{}, err
	}
	// Who is signed in knows that the account exists, and is told what to do.
	if err := r.outdated(); err != nil {
		return Record{}, Proof{}, err
	}
	p, err := d.prove(ctx, r, attempt{key: "session/" + r.ID, known: true, purpose: purpose, password: password, code: code}, now)
	return r, p, err
}

// attempt is one try at proving to be an account's owner.
type attempt struct {
	key, purpose   string
	known          bool // there is such an account
	password, code string
}

// prove counts the attempt, then judges it. The proof is not yet recorded.
func (d *Directory) prove(ctx context.Context, r Record, a attempt, now time.Time) (Proof, error) {
	wait, err := d.store.TakeAttempt(ctx, r.Tenant, a.key, now, backoff)
	if err != nil {
		return Proof{}, err
	}
	if wait > 0 {
		// Nothing is judged or written: a flood costs one look at a row.
		return Proof{}, fault.Newf(fault.Limit, "too many attempts; try again in %v", wait.Round(time.Second)+time.Second)
	}
	judged, outdated := r, r.outdated() != nil
	if outdated {
		judged = r.stranger()
	}
	counter, ok, err := d.judge(ctx, &judged, a, now)
	if err != nil {
		return Proof{}, err
	}
	if !ok || !a.known || r.Disabled || outdated {
		if err := d.store.RefuseProof(ctx, sessionFailed(r, a, now)); err != nil {
			return Proof{}, err
		}
		return Proof{}, refused()
	}
	return Proof{Tenant: r.Tenant, Account: r.ID, Revision: r.Revision, Counter: counter, Attempts: a.key}, nil
}

// judge does the same work whatever is wrong.
func (d *Directory) judge(ctx context.Context, r *Record, a attempt, now time.Time) (counter int64, ok bool, err error) {
	release, err := d.hashing(ctx)
	if err != nil {
		return 0, false, err
	}
	defer release()
	fits := len(a.password) <= maxPassword
	if !fits {
		a.password = ""
	}
	input, err := d.passwordInput(r, a.password)
	if err != nil {
		return 0, false, err
	}
	passwordOK, err := checkHash(r.Password, input)
	if err != nil {
		return 0, false, err
	}
	secret, err := d.totpSecretOf(r)
	if err != nil {
		return 0, false, err
	}
	counter, codeOK, err := matchCode(secret, r.Algorithm, a.code, r.Counter, now)
	clear(secret)
	return counter, fits && passwordOK && codeOK, err
}

// accept records a proof. Who lost a race for the code, or whose account was
// changed in between, is refused like everybody else.
func (d *Directory) accept(ctx context.Context, p Proof) error {
	err := d.store.AcceptProof(ctx, p)
	if fault.Is(err, fault.Conflict) {
		return refused()
	}
	return err
}

// decoy is an account that nobody can sign in to, so that an unknown name
// costs what a known one costs.
func decoy(tenant ident.Tenant) Record {
	h := current()
	h.salt, h.hash = randomBytes(16), randomBytes(32)
	return Record{Account: Account{Tenant: tenant, ID: "unknown"}, Password: h.String(), TOTPSalt: randomBytes(16), Algorithm: defaultAlgorithm()}
}
