// Package vaultlease is what Vault and OpenBao make for who asks: users of
// databases, and what other engines answer to a read with a lease.
//
// For each holder it makes a child of its own token first, and asks with that: the
// server ends what was made with a token when the token ends, and a token is ended by
// its accessor, which is known before anything is made. That is how nothing is left
// where an answer was lost, or this process was killed. Where the server's policy has
// no child tokens (runTokens: false), only what was answered can be revoked; the rest
// lives until its lease ends.
//
// It refuses an answer without a lease, with one that doesn't end, or with one that is not
// of the path that was asked; and a renewal that is of another lease.
//
// # Security
//
// Ids of leases and accessors go in bodies of requests, never in their paths. Neither
// is a secret: who has one and the right policy can end what it names, and no more.
package vaultlease

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/bao"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
)

// Config says which engine of which server.
type Config struct {
	bao.Config `yaml:",inline"`
	// Mount is the engine's path, "database" when empty.
	Mount string `yaml:"mount,omitempty"`
	// RunTokens says whether each Run gets a token of its own; unset: yes.
	RunTokens *bool `yaml:"runTokens,omitempty"`
	// TokenRole is the role of the token store that they are made by; empty: they have
	// the policies of the sign-in.
	TokenRole string `yaml:"tokenRole,omitempty"`
}

// The ways to sign in; see package bao.
type (
	AppRole     = bao.AppRole
	JWT         = bao.JWT
	Certificate = bao.Certificate
)

// How long child tokens live. A Run's is renewed while it is open: this is for how
// long it outlives a server that is gone and does not come back.
const (
	tokenLife = 30 * time.Minute
	trialLife = time.Minute
)

// maxLease bounds what a server says about a lease.
const maxLease = 10 * 365 * 24 * time.Hour

// engine is one.
type engine struct {
	server *bao.Server
	mount  string
	role   string
	tokens bool
	now    func() time.Time
}

// New checks the configuration. It asks the server nothing.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	bad := func(msg string) error {
		return fault.New(fault.Invalid, "the Vault server's "+msg).WithHint("docs/bring-your-own-vault.md has an example")
	}
	if c.Mount == "" {
		c.Mount = "database"
	}
	if !bao.Path.MatchString(c.Mount) {
		return nil, bad("mount is not a path of plain words")
	}
	if c.TokenRole != "" && (!bao.Path.MatchString(c.TokenRole) || strings.Contains(c.TokenRole, "/")) {
		return nil, bad("token role is not a plain word")
	}
	tokens := c.RunTokens == nil || *c.RunTokens
	if c.TokenRole != "" && !tokens {
		return nil, bad("token role is for tokens that runTokens: false says are not made")
	}
	s, err := bao.New(c.Config, now)
	if err != nil {
		return nil, err
	}
	return engine{s, c.Mount, c.TokenRole, tokens, now}, nil
}

// Named says that there are named fields in an answer.
func (engine) Named() bool { return true }

// Check refuses a version: there is none before it is made.
func (engine) Check(a backend.Ask) error {
	if strings.HasPrefix(a.Path, "/") || strings.HasSuffix(a.Path, "/") || strings.HasPrefix(a.Path, "config/") || strings.HasPrefix(a.Path, "roles/") {
		return fault.New(fault.Invalid, "a path of an engine that makes credentials begins and ends without a slash").
			WithHint("it is without the mount: for database/creds/app write creds/app")
	}
	if a.Version != "" {
		return fault.New(fault.Invalid, "what is made at each question has no version")
	}
	return nil
}

// Ready looks at the files of the sign-in.
func (e engine) Ready() error { return e.server.Ready() }

// Enter signs in, and asks whether there is such a mount. It makes nothing.
func (e engine) Enter(ctx context.Context) (string, error) {
	m, err := e.server.Enter(ctx, e.mount)
	if err != nil {
		return "", err
	}
	return m.Did(e.mount), nil
}

// Meant is a path without the mount.
func (e engine) Meant(path string) string {
	return strings.TrimPrefix(strings.Trim(path, "/"), e.mount+"/")
}

// ending is how long the revocation of a trial has.
const ending = 10 * time.Second

// Fetch makes one on trial, and revokes it, also when whoever asked has gone. One that
// can't be revoked ends with its token: the error says so.
func (e engine) Fetch(ctx context.Context, a backend.Ask) (backend.Answer, error) {
	h, err := e.engage(ctx, "trial", trialLife, true)
	if err != nil {
		return backend.Answer{}, err
	}
	out, err := h.Make(ctx, a)
	handle, _ := h.Handle()
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
	defer cancel()
	if gone := e.Revoke(over, handle, out.Lease.ID); gone != nil {
		until := "until its token's minute is over"
		if handle == "" {
			until = "until its lease ends"
		}
		err = backend.Fail(backend.ReasonOf(gone), "the credential that was made on trial could not be revoked: it may live "+until)
	}
	out.Lease, out.NotAfter = backend.Lease{}, time.Time{}
	if err != nil {
		out.Wipe()
		return backend.Answer{}, err
	}
	return out, nil
}

// Where names the server and the engine.
func (e engine) Where() string { return e.server.Where() + " " + e.mount }

// Engage makes a token for a Run.
func (e engine) Engage(ctx context.Context, name string) (backend.Holder, error) {
	h, err := e.engage(ctx, name, tokenLife, false)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (e engine) engage(ctx context.Context, name string, life time.Duration, last bool) (*holder, error) {
	if backend.CheckVersion(name) != nil {
		return nil, fault.New(fault.Internal, "a holder's name is not a plain word")
	}
	if !e.tokens {
		return &holder{engine: e}, nil
	}
	c, err := e.server.Child(ctx, bao.ChildSpec{Role: e.role, For: life, Last: last, Meta: name})
	if backend.ReasonOf(err) == backend.Refused && err != nil {
		return nil, backend.Fail(backend.Refused, "the Vault server does not let us make a token for a Run").
			WithHint("the policy has to allow auth/token/create; docs/bring-your-own-vault.md has one, and says what runTokens: false means")
	}
	if err != nil {
		return nil, err
	}
	return &holder{e, c}, nil
}

// Revoke ends a lease, and waits until the system has taken the credential away; then
// the token, and with it what nobody knows of.
func (e engine) Revoke(ctx context.Context, handle, lease string) error {
	var failed error
	if lease != "" {
		failed = e.revokeLease(ctx, lease)
	}
	if handle != "" {
		if err := e.server.RevokeChild(ctx, handle); err != nil {
			return err
		}
	}
	return failed
}

func (e engine) revokeLease(ctx context.Context, id string) error {
	if !e.plausible(id, "") {
		return backend.Fail(backend.Wrong, "what is on record is no lease of the engine")
	}
	a, err := e.server.Do(ctx, http.MethodPost, "sys/leases/revoke", []byte(`{"lease_id":"`+id+`","sync":true}`))
	if err != nil {
		return err
	}
	defer clear(a.Body)
	if a.Status == http.StatusBadRequest { // of one that has ended it says nothing; this is the system behind
		return backend.Fail(backend.Behind, "the Vault server can't revoke the lease now: the system behind it does not take the order")
	}
	return e.server.Judge("sys/leases/revoke", a)
}

// plausible reports whether an id is one of a lease of the path; with an empty path, of
// the engine. The server makes ids of the path that was asked. That also refuses
// every character that JSON escapes.
func (e engine) plausible(id, path string) bool {
	rest, ok := strings.CutPrefix(id, e.mount+"/"+path)
	if path != "" {
		rest, ok = strings.CutPrefix(id, e.mount+"/"+path+"/")
	}
	return ok && rest != "" && backend.CheckPath(id) == nil && (path == "" || !strings.Contains(rest, "/"))
}

// holder is a Run's token, or nothing.
type holder struct {
	engine
	child *bao.Child // nil: there are none
}

// Handle is the token's accessor.
func (h *holder) Handle() (string, time.Time) {
	if h.child == nil {
		return "", time.Time{}
	}
	return h.child.Accessor(), h.child.Until()
}

func (h *holder) do(ctx context.Context, method, path string, body []byte) (bao.Answer, error) {
	if h.child == nil {
		return h.server.Do(ctx, method, path, body)
	}
	return h.child.Do(ctx, method, path, body)
}

// ends is when a lease ends: with its token at the latest.
func (h *holder) ends(l backend.Lease) time.Time {
	end := h.now().Add(l.For)
	if h.child == nil {
		return end
	}
	if until := h.child.Until(); until.Before(end) {
		return until
	}
	return end
}

func wrong(what string) error {
	return backend.Fail(backend.Wrong, "the Vault server's answer "+what).
		WithHint("check the backend's mount; what has no lease (static-creds) is of a backend of the kind vault with engine: 1")
}

// Make asks the engine.
func (h *holder) Make(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	got, err := h.do(ctx, http.MethodGet, h.mount+"/"+a.Path, nil)
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if got.Status == http.StatusBadRequest {
		return out, backend.Fail(backend.Missing, "the Vault server has no such role, or does not make anything by it")
	}
	if got.Status == http.StatusInternalServerError { // sealed or on standby it is 503
		return out, backend.Fail(backend.Behind, "the Vault server can't make the credential now: the system behind it does not answer")
	}
	if err := h.server.Judge(h.mount+"/"+a.Path, got); err != nil {
		if r := backend.ReasonOf(err); (r == backend.Refused || r == backend.Missing) && h.Meant(a.Path) != a.Path {
			err = backend.FailOf(r, "", err).WithHint("a path is without the mount: try " + h.Meant(a.Path))
		}
		return out, err
	}
	plain.Do(func() { out, err = read(got.Body) })
	if !h.plausible(out.Lease.ID, a.Path) {
		out.Lease = backend.Lease{} // not ours to revoke
		if err == nil {
			err = wrong("has a lease of something else")
		}
	}
	if err != nil {
		out.Wipe()
		out.Fields = nil
		return out, err
	}
	out.NotAfter = h.ends(out.Lease)
	return out, nil
}

// Renew renews the token and the lease.
func (h *holder) Renew(ctx context.Context, l backend.Lease) (out backend.Answer, err error) {
	if h.child != nil {
		h.child.Renew(ctx)
	}
	got, err := h.do(ctx, http.MethodPost, "sys/leases/renew", []byte(`{"lease_id":"`+l.ID+`"}`))
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if got.Status == http.StatusBadRequest || got.Status == http.StatusForbidden || got.Status == http.StatusNotFound {
		return out, h.unrenewed(ctx, l)
	}
	if err := h.server.Judge("sys/leases/renew", got); err != nil {
		return out, err
	}
	m, err := object.Members(got.Body)
	if err != nil {
		return out, wrong("to a renewal is none")
	}
	if out.Lease, err = leaseOf(m); err != nil {
		return backend.Answer{}, err
	}
	if out.Lease.ID != l.ID {
		return backend.Answer{}, wrong("to a renewal is of another lease")
	}
	out.NotAfter = h.ends(out.Lease)
	return out, nil
}

// unrenewed says why a lease is not renewed: the server has one status for a lease that
// has ended, for one that can't be renewed, and for a system that doesn't answer it.
func (h *holder) unrenewed(ctx context.Context, l backend.Lease) error {
	again, err := h.look(ctx, l)
	switch {
	case err != nil:
		return err
	case !again:
		return backend.Fail(backend.Wrong, "the Vault server does not renew the lease any more, which is good until its end")
	}
	return backend.Fail(backend.Behind, "the Vault server can't renew the lease now")
}

// Look asks about a lease.
func (h *holder) Look(ctx context.Context, l backend.Lease) error {
	_, err := h.look(ctx, l)
	return err
}

// look says whether a lease can be renewed. Where the holder's token is not let do it, it
// may have ended, or its policy is without the path: the sign-in's is asked then.
func (h *holder) look(ctx context.Context, l backend.Lease) (renewable bool, err error) {
	body := []byte(`{"lease_id":"` + l.ID + `"}`)
	a, err := h.do(ctx, http.MethodPost, "sys/leases/lookup", body)
	if err == nil && a.Status == http.StatusForbidden && h.child != nil {
		clear(a.Body)
		a, err = h.server.Do(ctx, http.MethodPost, "sys/leases/lookup", body)
	}
	if err != nil {
		return false, err
	}
	defer clear(a.Body)
	gone := backend.Fail(backend.Missing, "the Vault server has ended the lease")
	if a.Status == http.StatusBadRequest { // also where its storage fails
		if noLease(a.Body) {
			return false, gone
		}
		return false, backend.Fail(backend.Away, "the Vault server can't say what has become of the lease")
	}
	if err := h.server.Judge("sys/leases/lookup", a); err != nil {
		if backend.ReasonOf(err) == backend.Missing { // no such path: it says nothing of the lease
			err = wrong("to a question about a lease is none")
		}
		return false, err
	}
	m, err := object.Inside(a.Body, "data")
	left, ok := object.Number(m["ttl"])
	if err != nil || !ok || object.Word(m["id"]) != l.ID {
		return false, wrong("to a question about a lease is none")
	}
	if left <= 0 { // it is over, and the server has not got round to it
		return false, gone
	}
	return string(m["renewable"]) == "true", nil
}

// noLease reports whether the server says that there is no such lease, in the words of
// Vault's and OpenBao's handleLeaseLookup.
func noLease(body []byte) bool {
	m, err := object.Members(body)
	return err == nil && string(bytes.Join(bytes.Fields(m["errors"]), []byte(" "))) == `["invalid lease"]`
}

// read reads an answer of an engine: not a token, nothing that is wrapped, a lease.
func read(raw []byte) (out backend.Answer, err error) {
	m, err := object.Members(raw)
	if err != nil || !empty(m["auth"]) || !empty(m["wrap_info"]) {
		return out, wrong("is not of an engine that makes credentials")
	}
	if out.Lease, err = leaseOf(m); err != nil {
		return out, err
	}
	if out.Fields, err = object.Fields(m["data"]); err != nil {
		return out, wrong("has no fields")
	}
	return out, nil
}

func empty(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" || string(raw) == `""` }

// leaseOf reads a lease, which ends. Of one that doesn't, it gives the id with the error.
func leaseOf(m map[string][]byte) (backend.Lease, error) {
	id := object.Word(m["lease_id"])
	n, ok := object.Number(m["lease_duration"])
	if id == "" || !ok || n <= 0 {
		return backend.Lease{ID: id}, wrong("has no lease that ends")
	}
	return backend.Lease{ID: id, For: time.Duration(min(n, int64(maxLease/time.Second))) * time.Second, Renewable: string(m["renewable"]) == "true"}, nil
}
