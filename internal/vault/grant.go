package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"reflect"
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/oauthcred"
)

// The limits of authorizations under way.
const (
	grantLife  = 10 * time.Minute
	grantsEach = 5   // of one account; the oldest ends
	grantsAll  = 200 // with those that have ended
)

// GrantSpec says what a person is to authorise at the issuer of a Connection.
type GrantSpec struct {
	Door     DoorSpec
	Redirect string // the one URL that the answer comes to
	Document string // the URL of our metadata as a client; empty: there is none
	// Session is the one that has to bring the answer; empty: any of Actor's.
	Session string
	Actor   ident.Principal
}

// GrantState is how far an authorization has come.
type GrantState string

// The states.
const (
	GrantWaiting GrantState = "waiting" // for the person
	GrantDone    GrantState = "done"
	GrantFailed  GrantState = "failed"
	GrantExpired GrantState = "expired"
)

// Grant is an authorization by a person, as people see it. It is in memory alone: what
// was not answered before a restart is begun again.
type Grant struct {
	ID         string     `json:"id"`
	Connection string     `json:"connection"`
	Secret     string     `json:"secret"`
	Issuer     string     `json:"issuer"`
	URL        string     `json:"url,omitempty"` // to be opened by the person, once
	State      GrantState `json:"state"`
	Why        string     `json:"why,omitempty"` // it failed; nothing of the issuer's words is in it
	Version    int        `json:"version,omitempty"`
	Expires    time.Time  `json:"expires"`
}

// GrantAnswer is what the issuer sends the person back with. All of it is foreign.
type GrantAnswer struct {
	State, Code, Issuer string
	Error               bool // it says that it does not authorise
}

type grants struct {
	mu  sync.Mutex
	all []*grant // the oldest first
}

type grant struct {
	Grant
	spec  GrantSpec
	asked oauthcred.Asked
	state [sha256.Size]byte // the SHA-256 of the state parameter
	taken bool              // its answer has come, and is being worked on
}

// BeginGrant asks the issuer's metadata, and makes the URL for the person. Denied: the
// Secret may not be used so. Invalid: the issuer or the Secret is not as it has to be.
func (v *Vault) BeginGrant(ctx context.Context, g GrantSpec) (Grant, error) {
	if err := checkCaller(g.Door.Tenant, g.Actor); err != nil {
		return Grant{}, err
	}
	t, err := v.takeForGrant(ctx, g.Door)
	if err != nil {
		return Grant{}, err
	}
	defer plain.Wipe(t.packed)
	state := rand.Text() + rand.Text()
	asked, err := oauthcred.Begin(ctx, v.configOf(g.Door, t), g.Redirect, state, g.Document)
	if err != nil {
		return Grant{}, err
	}
	x := &grant{spec: g, asked: asked, state: sha256.Sum256([]byte(state)), Grant: Grant{ID: ident.New("grt"), Connection: g.Door.Connection, Secret: g.Door.Secret,
		Issuer: g.Door.Auth.Issuer, State: GrantWaiting, Expires: v.cfg.Now().Add(grantLife).UTC()}}
	v.grants.add(x, v.cfg.Now())
	out := x.Grant
	out.URL = asked.URL
	return out, nil
}

func (v *Vault) configOf(d DoorSpec, t taken) oauthcred.Config {
	return oauthcred.Config{Auth: d.Auth, Fields: t.fields, Resource: d.Resource, Base: d.Base}
}

// takeForGrant decrypts the active version. An authorization belongs to no Mission.
func (v *Vault) takeForGrant(ctx context.Context, d DoorSpec) (taken, error) {
	d.Version = 0
	t, err := v.takeWithin(ctx, d, func(s Scope) error {
		s.Missions, s.Methods = nil, nil
		return s.permits(d, v.cfg.Now())
	})
	if err != nil {
		return t, err
	}
	return t.ours()
}

// ours refuses a version that is a pointer: the tokens that a person authorised become
// new versions, and nothing is written to a backend by itself.
func (t taken) ours() (taken, error) {
	if t.outside == "" {
		return t, nil
	}
	plain.Wipe(t.packed)
	return taken{}, fault.New(fault.Invalid, "tokens that a person authorises are kept here, and the Secret's value is in another vault").
		WithHint("bring it here with: sallyport secret move NAME --to store")
}

// add keeps a grant, and ends what is too old or too much.
func (g *grants) add(x *grant, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = slices.DeleteFunc(g.all, func(o *grant) bool { return now.After(o.Expires.Add(grantLife)) })
	var mine []*grant
	for _, o := range g.all {
		if o.State == GrantWaiting && o.spec.Actor.Tenant == x.spec.Actor.Tenant && o.spec.Actor.ID == x.spec.Actor.ID {
			mine = append(mine, o)
		}
	}
	if len(mine) >= grantsEach {
		mine[0].end(GrantExpired, "it was begun anew")
	}
	if len(g.all) >= grantsAll {
		g.all[0].end(GrantExpired, "too many were begun")
		g.all = g.all[1:]
	}
	g.all = append(g.all, x)
}

func (x *grant) end(to GrantState, why string) {
	if x.State == GrantWaiting && !x.taken {
		x.State, x.Why = to, why
		x.asked.Wipe()
	}
}

// take finds what an answer is for, by its state parameter, and takes it from all
// others: a state is good once, whoever brings it.
func (g *grants) take(state string, now time.Time) (*grant, bool) {
	sum := sha256.Sum256([]byte(state))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range g.all {
		if subtle.ConstantTimeCompare(x.state[:], sum[:]) == 1 {
			x.state = [sha256.Size]byte{}
			if now.After(x.Expires) {
				x.end(GrantExpired, "the answer came too late")
			}
			x.taken = x.State == GrantWaiting
			return x, x.taken
		}
	}
	return nil, false
}

// ShowGrant gives one of the caller's own. NotFound.
func (v *Vault) ShowGrant(who ident.Principal, id string) (Grant, error) {
	v.grants.mu.Lock()
	defer v.grants.mu.Unlock()
	for _, x := range v.grants.all {
		if x.ID == id && x.spec.Actor.Tenant == who.Tenant && x.spec.Actor.ID == who.ID {
			if v.cfg.Now().After(x.Expires) {
				x.end(GrantExpired, "nobody has answered")
			}
			return x.Grant, nil
		}
	}
	return Grant{}, fault.New(fault.NotFound, "there is no such authorization").WithHint("it may be from before a restart: begin it again")
}

// FinishGrant takes the issuer's answer, exchanges the code, and stores the tokens as
// the Secret's next version. now gives the door of a Connection as it is now: what was
// changed since is begun again. The error has nothing of the answer in it. Denied: the
// answer is not for who brings it, or not of the issuer; it has been used then.
func (v *Vault) FinishGrant(ctx context.Context, who ident.Principal, session string, a GrantAnswer, now func(connection string) (DoorSpec, error)) (Grant, error) {
	x, ok := v.grants.take(a.State, v.cfg.Now())
	if !ok {
		return Grant{}, fault.New(fault.Denied, "the answer belongs to no authorization that is under way").
			WithHint("one is good for ten minutes and for one answer: begin it again")
	}
	version, err := v.finishGrant(ctx, x, who, session, a, now)
	v.grants.mu.Lock()
	defer v.grants.mu.Unlock()
	x.taken = false
	if err != nil {
		x.end(GrantFailed, fault.Quote(err.Error()))
		return x.Grant, err
	}
	x.Version = version
	x.end(GrantDone, "")
	return x.Grant, nil
}

func (v *Vault) finishGrant(ctx context.Context, x *grant, who ident.Principal, session string, a GrantAnswer, now func(string) (DoorSpec, error)) (int, error) {
	if who.Kind != x.spec.Actor.Kind || who.Tenant != x.spec.Actor.Tenant || who.ID != x.spec.Actor.ID {
		return 0, fault.New(fault.Denied, "somebody else has begun this authorization").WithHint("begin one of your own; never follow a link that somebody sends you")
	}
	if x.spec.Session != "" && x.spec.Session != session {
		return 0, fault.New(fault.Denied, "the authorization was begun in another session").WithHint("begin it again in this one")
	}
	if err := x.asked.From(a.Issuer); err != nil {
		return 0, err
	}
	if a.Error {
		return 0, fault.New(fault.Denied, "the authorization server has not authorised it").WithHint("it says so itself on its own page; begin again when that is mended")
	}
	d, err := now(x.Connection)
	if err != nil {
		return 0, err
	}
	was := x.spec.Door
	if d.Tenant != was.Tenant || d.Secret != was.Secret || !reflect.DeepEqual(d.Auth, was.Auth) || d.Resource != was.Resource || d.Origin != was.Origin || d.Integration != was.Integration {
		return 0, fault.New(fault.Conflict, "the Connection was changed meanwhile").WithHint("look at it, and begin again")
	}
	h, free, err := v.tokensOf(ctx, d)
	if err != nil {
		return 0, err
	}
	defer free()
	t, err := v.takeForGrant(ctx, d)
	if err != nil {
		return 0, err
	}
	defer plain.Wipe(t.packed)
	got, err := oauthcred.Redeem(ctx, v.configOf(d, t), x.asked, a.Code)
	if err != nil {
		return 0, err
	}
	// The code is spent: what it was for is stored, also when the person has gone.
	if err := v.storeTokens(context.WithoutCancel(ctx), d, h, t, got, who, "authorised by a person"); err != nil {
		return 0, err
	}
	h.again, h.kept, h.resting = false, time.Time{}, time.Time{}
	return h.version, nil
}

// Authorized says whether a version has tokens that a person has authorised.
func Authorized(m Meta) bool { return slices.Contains(m.Fields, issuerField) }
