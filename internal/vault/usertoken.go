package vault

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/oauthcred"
)

// rest is how long nobody asks again after a refusal: an authorization server is not
// asked with each call, and one that was wrong for a while is forgiven.
const rest = 5 * time.Minute

// spare is how long before its end a token is not used any more.
const spare = time.Minute

// keepTokens is how many versions of replaced tokens are kept before they are
// destroyed. All that are kept are scrubbed.
const keepTokens = 20

// user is what is known of tokens that a person has authorised. The Secret has them
// too: its active version, of which this is a copy, or a later token for which the
// server has not replaced the refresh token.
type user struct {
	version int              // of the Secret
	unsaved *oauthcred.Token // got, and not yet durable: nobody has it
	resting time.Time        // until when nobody asks
}

// errAgain is what a person has to do something about.
func errAgain(msg string) error {
	return fault.New(fault.Denied, msg).WithHint("have an admin authorise the Connection: sallyport connection authorize NAME, or its page in the console")
}

// errResting is that for a while: whoever has made it good elsewhere knows how long to
// wait.
func errResting(msg string, until time.Time) error {
	return errAgain(msg + ", and is not tried again before " + until.UTC().Format(time.RFC3339))
}

// Resting is until when the tokens that a person has authorised are not tried, since
// their system or its authorization server has refused them; zero: they are.
func (v *Vault) Resting(t ident.Tenant, secret string) time.Time {
	v.tokens.mu.Lock()
	h := v.tokens.all[userKey(t, secret)]
	v.tokens.mu.Unlock()
	if h == nil {
		return time.Time{}
	}
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default:
		return time.Time{} // somebody tries them
	}
	if !v.cfg.Now().Before(h.resting) {
		return time.Time{}
	}
	return h.resting
}

func userKey(t ident.Tenant, secret string) string { return "user\n" + string(t) + "\n" + secret }

// openUser opens a door with a token that a person has authorised. It takes the
// Secret's active version, whichever was decided on: tokens replace each other.
func (v *Vault) openUser(ctx context.Context, d DoorSpec) (http.RoundTripper, error) {
	d.Version = 0
	h, free, err := v.tokensOf(ctx, d)
	if err != nil {
		return nil, err
	}
	defer free()
	t, err := v.take(ctx, d) // under the lock: it may be newer than when the caller came
	if err != nil {
		return nil, err
	}
	if t, err = t.ours(); err != nil {
		return nil, err
	}
	defer plain.Wipe(t.packed)
	if err := v.follow(d, h, t); err != nil {
		return nil, err
	}
	if h.unsaved != nil || !v.cfg.Now().Before(h.until) {
		if err := v.refresh(ctx, d, h, t); err != nil {
			return nil, err
		}
	}
	return v.tokenDoor(d, h, t.version, rest)
}

// tokensOf waits for the tokens of a Secret: whoever has them is alone.
func (v *Vault) tokensOf(ctx context.Context, d DoorSpec) (h *held, free func(), err error) {
	h = v.tokens.of(userKey(d.Tenant, d.Secret), v.cfg.Now())
	select {
	case h.busy <- struct{}{}:
		return h, func() { <-h.busy }, nil
	case <-ctx.Done():
		return nil, nil, fault.New(fault.Unavailable, "the authorization server did not answer in time")
	}
}

// follow takes over what the Secret has, where it has another version than is known,
// and refuses what was authorised for somebody else.
func (v *Vault) follow(d DoorSpec, h *held, t taken) error {
	if h.version != t.version {
		access := bytes.Clone(plain.Bytes(t.fields["access_token"]))
		h.user, h.value, h.until, h.got = user{version: t.version}, oauthcred.Token{Access: plain.New(access)}, time.Time{}, h.got+1
		if s, err := strconv.ParseInt(string(plain.Bytes(t.fields[expiresField])), 10, 64); err == nil && len(access) > 0 {
			h.until = time.Unix(s, 0).Add(-spare)
		}
	}
	issuer, target := string(plain.Bytes(t.fields[issuerField])), string(plain.Bytes(t.fields[resourceField]))
	switch {
	case issuer == "":
		return errAgain("nobody has authorised this Connection yet")
	case issuer != d.Auth.Issuer || target != d.Resource:
		// Who changes a Connection or its Integration has not authorised anything.
		return errAgain("the Secret's tokens were authorised for another server, or by another issuer")
	case v.cfg.Now().Before(h.resting):
		return errResting("the authorization is not accepted any more", h.resting)
	}
	return nil
}

// refresh gets the next token. One that comes with another refresh token is used when
// the Secret has both, and not before: until then the old version is the active one.
func (v *Vault) refresh(ctx context.Context, d DoorSpec, h *held, t taken) error {
	if h.unsaved == nil {
		old, ok := t.fields["refresh_token"]
		if !ok {
			return errAgain("the authorization has ended, and it came without a refresh token")
		}
		got, err := oauthcred.Refresh(ctx, oauthcred.Config{Auth: d.Auth, Fields: t.fields, Resource: d.Resource, Base: d.Base}, old)
		if fault.Is(err, fault.Denied) {
			h.resting = v.cfg.Now().Add(rest)
			return errResting("the authorization server does not refresh the token any more", h.resting)
		}
		if err != nil {
			return err
		}
		next := plain.Bytes(got.Refresh)
		if len(next) == 0 || bytes.Equal(next, plain.Bytes(old)) {
			if err := v.learn(d.Tenant, d.Secret, append([]plain.Value{got.Access}, got.Also...)); err != nil {
				return err
			}
			h.use(got, v.cfg.Now())
			return nil
		}
		h.unsaved = &got
	}
	// The caller may have gone. What the server has replaced is stored all the same.
	if err := v.storeTokens(context.WithoutCancel(ctx), d, h, t, *h.unsaved, ident.Principal{Tenant: d.Tenant, Kind: ident.System, ID: "vault", Name: "the vault"}, "refreshed"); err != nil {
		return err
	}
	v.trimTokens(context.WithoutCancel(ctx), d)
	return nil
}

// use makes a token the one that doors get.
func (h *held) use(t oauthcred.Token, now time.Time) {
	h.value, h.until, h.got, h.unsaved = t, now.Add(t.Life-min(spare, t.Life/4)), h.got+1, nil
}

// storeTokens makes the next version of the Secret, active at once: as it was, with
// other tokens. Its usage scope and its expiry are those of the one before.
func (v *Vault) storeTokens(ctx context.Context, d DoorSpec, h *held, t taken, got oauthcred.Token, actor ident.Principal, why string) error {
	now := v.cfg.Now()
	fields := map[string][]byte{}
	for name, value := range t.fields {
		fields[name] = bytes.Clone(plain.Bytes(value))
	}
	fields["access_token"] = bytes.Clone(plain.Bytes(got.Access))
	if next := plain.Bytes(got.Refresh); len(next) > 0 {
		fields["refresh_token"] = bytes.Clone(next)
	} else {
		delete(fields, "refresh_token") // of another authorization
	}
	fields[issuerField], fields[resourceField] = []byte(d.Auth.Issuer), []byte(d.Resource)
	fields[expiresField] = []byte(strconv.FormatInt(now.Add(got.Life).Unix(), 10))
	w := Write{Tenant: d.Tenant, Name: d.Secret, Fields: fields, AnyOrigin: true, Actor: actor}
	defer func() { w.wipe() }()
	if err := w.check(); err != nil {
		return fault.New(fault.Invalid, "the authorization server's tokens can't be protected, so they are not used")
	}
	for _, field := range []string{"access_token", "refresh_token"} {
		if len(fields[field]) > scrub.MaxLen {
			return fault.New(fault.Invalid, "the authorization server's tokens are too long to be scrubbed, so they are not used")
		}
	}
	// What came besides, and goes nowhere.
	if err := v.learn(d.Tenant, d.Secret, got.Also); err != nil {
		return err
	}
	s, err := v.commit(ctx, d.Tenant, d.Secret, actor, false, func(c *change) error {
		if c.e.head.Active != t.version {
			return fault.New(fault.Conflict, "the Secret was changed meanwhile").WithHint("try it again")
		}
		scope := c.e.head.Versions[t.version-1].Scope
		w.Scope = &scope
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		c.event, c.fields["why"] = audit.SecretRotated, why
		c.set(n, Active)
		return c.describeVersion(n)
	})
	if err != nil {
		return err
	}
	h.version = s.Active
	h.use(got, now)
	return nil
}

// trimTokens destroys what the vault itself has replaced long ago: those tokens are
// worth nothing, and each would be opened at each start.
func (v *Vault) trimTokens(ctx context.Context, d DoorSpec) {
	mine := ident.Principal{Tenant: d.Tenant, Kind: ident.System, ID: "vault", Name: "the vault"}
	s, err := v.Show(ctx, d.Tenant, d.Secret)
	var old []int
	for _, ver := range s.Versions {
		if ver.State == Disabled && ver.CreatedBy == mine.String() {
			old = append(old, ver.Version)
		}
	}
	if err == nil && len(old) >= keepTokens {
		_, err = v.commit(ctx, d.Tenant, d.Secret, mine, false, func(c *change) error {
			for _, n := range old {
				c.destroy(n)
			}
			c.event = audit.SecretDestroyed
			c.fields["secretVersion"], c.fields["why"] = old[len(old)-1], "tokens that were replaced, up to this version"
			return nil
		})
	}
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "replaced tokens could not be destroyed", slog.String("secret", d.Secret), slog.Any("kind", fault.KindOf(err)))
	}
}
