package storetest

import (
	"crypto/fips140"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
)

// argonHash is well-formed, and of nobody's password.
const argonHash = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

// madeOutsideFIPS is the story of an account that has Argon2id and SHA-1. In
// FIPS 140-only mode a stranger at the sign-in can't tell it from a name that
// nobody has; who is signed in, and the operator, are told. Elsewhere nothing is
// outdated.
func madeOutsideFIPS(w *World) {
	ann := w.Human(acme, "ann")
	if !fips140.Enforced() {
		names, err := w.Dir.Outdated(w.ctx, acme)
		w.must(err)
		if len(names) != 0 || !fips140.Enabled() && ann.Factor.Alg != identity.SHA1 {
			w.t.Fatalf("outdated: %v, codes by %s", names, ann.Factor.Alg)
		}
		ann.SignIn()
		return
	}
	r, err := w.Store.AccountByID(w.ctx, acme, ann.Account.ID)
	w.must(err)
	if r.Algorithm != identity.SHA256 || !strings.HasPrefix(r.Password, "$pbkdf2-sha256$") {
		w.t.Fatalf("a new account has %s and %.20s", r.Algorithm, r.Password)
	}
	r.Algorithm, r.Password = identity.SHA1, argonHash
	w.must(w.Store.UpdateAccount(w.ctx, r, false, audit.Event{Type: audit.AccountChanged, Tenant: acme, At: w.Now, Actor: "system:test"}))

	_, _, known := w.Dir.SignIn(w.ctx, acme, "ann", Password, "123456", w.Now)
	_, _, unknown := w.Dir.SignIn(w.ctx, acme, "nobody", Password, "123456", w.Now)
	w.wantKind(known, fault.Unauthenticated)
	if known.Error() != unknown.Error() || fault.HintOf(known) != fault.HintOf(unknown) {
		w.t.Fatalf("a stranger is told %v of one and %v of the other", known, unknown)
	}
	if e := w.entries(acme, audit.SessionFailed)[0]; !strings.Contains(e.Fields["why"].(string), "outside FIPS") {
		w.t.Fatalf("the record says %v", e.Fields)
	}
	_, err = w.Dir.Confirm(w.ctx, ann.Account.Principal(), Password, "123456", act, w.Now)
	w.wantKind(err, fault.Unavailable)
	if fault.HintOf(err) == "" {
		w.t.Fatal("nobody says what to do")
	}
	names, err := w.Dir.Outdated(w.ctx, acme)
	w.must(err)
	if len(names) != 1 || names[0] != "ann" {
		w.t.Fatalf("outdated: %v", names)
	}
	ann.Factor, err = w.Dir.Reset(w.ctx, Admin(acme), acme, ann.Account.ID, w.Now)
	w.must(err)
	ann.Password = ann.Factor.Password
	ann.SignIn()
}
