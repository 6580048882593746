package identity

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// tokenHash is what a token is found by. It is the one keyed hash without a
// tenant: the token is what says which tenant it is.
func (d *Directory) tokenHash(token string) (string, error) {
	return d.mac(vault.TokenPepper, "", "token", token)
}

// mac is the keyed hash of some parts, in hex. The first part is what for.
func (d *Directory) mac(p vault.Purpose, tenant ident.Tenant, parts ...string) (string, error) {
	b, err := d.keys.MAC(p, tenant, parts...)
	return hex.EncodeToString(b), fault.Wrap(fault.Unavailable, "reaching the keys of identity", err)
}

// totpSecretOf is the secret of an account's one-time codes. A salt that
// somebody changed gives codes that nobody has.
func (d *Directory) totpSecretOf(r *Record) ([]byte, error) {
	b, err := d.keys.MAC(vault.IdentityPepper, r.Tenant, "one-time codes", r.ID, string(r.Algorithm), string(r.TOTPSalt))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "reaching the keys of identity", err)
	}
	if len(b) < totpSecret {
		return nil, fault.New(fault.Internal, "the keys of identity are too short")
	}
	return b[:totpSecret], nil
}

// passwordInput is what is hashed slowly: a keyed hash, so that who can only
// write the database can't make a password, nor copy one to another account.
func (d *Directory) passwordInput(r *Record, password string) ([]byte, error) {
	b, err := d.keys.MAC(vault.IdentityPepper, r.Tenant, "password", r.ID, normal(password))
	return b, fault.Wrap(fault.Unavailable, "reaching the keys of identity", err)
}

func (d *Directory) setPassword(ctx context.Context, r *Record, password string) error {
	release, err := d.hashing(ctx)
	if err != nil {
		return err
	}
	defer release()
	input, err := d.passwordInput(r, password)
	if err != nil {
		return err
	}
	r.Password, err = newHash(input)
	return err
}

// hashing waits for one of the few places where a password is hashed.
func (d *Directory) hashing(ctx context.Context) (release func(), err error) {
	select {
	case d.work <- struct{}{}:
		return func() { <-d.work }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, "waiting for a place to check a password", ctx.Err())
	}
}

// bindSession, bindRun and bindWorkerToken tie a row to the token that it is for: a row whose
// account, tenant, Run or expiry somebody changed authenticates nobody.
func (d *Directory) bindSession(token string, r SessionRow) (string, error) {
	return d.mac(vault.TokenPepper, r.Tenant, "session", token, r.ID, r.Account, millis(r.CreatedAt), millis(r.ExpiresAt))
}

func (d *Directory) bindRun(token string, r RunRow) (string, error) {
	return d.mac(vault.TokenPepper, r.Tenant, "run", token, r.ID, r.Run, r.Via, millis(r.ExpiresAt))
}

func (d *Directory) bindWorkerToken(token string, r WorkerTokenRow) (string, error) {
	return d.mac(vault.TokenPepper, r.Tenant, "worker", token, r.ID, r.Worker, millis(r.CreatedAt), millis(r.ExpiresAt))
}

// sameMAC compares two keyed hashes in constant time; an empty one equals
// nothing.
func sameMAC(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// millis is a time as precisely as a store keeps it.
func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// attemptKey is where attempts are counted: at the account, or for a name that
// nobody has in one of 65,536 buckets, so that strangers can't fill the disk
// and can't tell by the waiting which names exist.
func (d *Directory) attemptKey(tenant ident.Tenant, name string, r *Record) (string, error) {
	if r != nil {
		return r.ID, nil
	}
	m, err := d.mac(vault.IdentityPepper, tenant, "attempts", name)
	if err != nil {
		return "", err
	}
	return "unknown-" + m[:4], nil
}
