package storetest

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Identity plays the stories of package identity.
func Identity(t *testing.T, open func(*testing.T) Store) {
	stories := map[string]func(*World){
		"a one-time code works once, for whatever":          codeWorksOnce,
		"a code in two hands at the same time works once":   codeRace,
		"a refused sign-in does not say why":                refusalsAreAlike,
		"guessing is slowed down for one account":           guessing,
		"strangers leave nothing at unknown tenants":        unknownTenant,
		"a session ends in five ways":                       sessionEnds,
		"a Run's token is the Run until it ends":            runTokens,
		"a chosen-for-you password confirms nothing":        mustChange,
		"a new password ends the old sessions":              changePassword,
		"an admin resets an account":                        reset,
		"only admins of the tenant change accounts":         onlyAdmins,
		"tenants do not see each other's people":            tenantsApart,
		"a Team keeps its id, and members their time":       teams,
		"nobody is half added to a Team":                    teamWhole,
		"without the vault's keys nobody signs in (closed)": keysFailClosed,
		"FIPS mode refuses what it can't compute, quietly":  madeOutsideFIPS,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { t.Parallel(); story(NewWorld(t, open(t))) })
	}
}

const acme, globex ident.Tenant = "acme", "globex"

const act = intent.Digest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

func codeWorksOnce(w *World) {
	ann := w.Human(acme, "ann")
	_, _, err := w.Dir.SignIn(w.ctx, acme, "ann", "wrong password here", ann.Code(), w.Now)
	w.wantKind(err, fault.Unauthenticated)
	// A wrong password does not use the code up: strangers can't burn codes.
	_, _, err = w.Dir.SignIn(w.ctx, acme, "ann", Password, ann.Code(), w.Now)
	w.must(err)
	_, _, err = w.Dir.SignIn(w.ctx, acme, "ann", Password, ann.Code(), w.Now)
	w.wantKind(err, fault.Unauthenticated)
	_, err = w.Dir.Confirm(w.ctx, ann.Account.Principal(), Password, ann.Code(), act, w.Now)
	w.wantKind(err, fault.Unauthenticated)
	f, err := w.Dir.Confirm(w.ctx, ann.Account.Principal(), Password, ann.NextCode(), act, w.Now)
	w.must(err)
	if f.Account != ann.Account.ID || f.For != act || f.Tenant != acme || !f.At.Equal(w.Now) {
		w.t.Fatalf("the factor is %+v", f)
	}
	// An older code is refused after a newer one was used.
	w.Pass(-30 * time.Second)
	old := ann.Code()
	w.Pass(30 * time.Second)
	_, err = w.Dir.Confirm(w.ctx, ann.Account.Principal(), Password, old, act, w.Now)
	w.wantKind(err, fault.Unauthenticated)
}

func codeRace(w *World) {
	ann := w.Human(acme, "ann")
	code := ann.Code()
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.Dir.Confirm(w.ctx, ann.Account.Principal(), Password, code, act, w.Now) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			w.wantKind(err, fault.Unauthenticated)
		}
	}
	if won != 1 {
		w.t.Fatalf("one code was good %d times", won)
	}
}

func refusalsAreAlike(w *World) {
	ann, off := w.Human(acme, "ann"), w.Human(acme, "off")
	w.must(w.Dir.Disable(w.ctx, Admin(acme), acme, off.Account.ID, true, w.Now))
	tries := [][3]string{
		{"ann", "wrong password here", ann.Code()}, {"ann", Password, "000000"}, {"ann", Password, ""},
		{"off", Password, off.Code()}, {"hunter2-typed-here", Password, ann.Code()},
		{"ann", strings.Repeat("x", 100_000), ann.Code()},
	}
	texts := map[string]bool{}
	for _, try := range tries {
		_, token, err := w.Dir.SignIn(w.ctx, acme, try[0], try[1], try[2], w.Now)
		w.wantKind(err, fault.Unauthenticated)
		texts[err.Error()+fault.HintOf(err)] = true
		if token != "" {
			w.t.Fatal("a refused sign-in gave a token")
		}
	}
	if len(texts) != 1 {
		w.t.Fatalf("refusals differ: %v", texts)
	}
	if n := len(w.entries(acme, audit.SessionFailed)); n != len(tries) {
		w.t.Fatalf("%d refusals are on the record, want %d", n, len(tries))
	}
	w.wantNowhere(acme, "hunter2")
}

func guessing(w *World) {
	ann, bob := w.Human(acme, "ann"), w.Human(acme, "bob")
	attempts := func(name string) (n int) {
		for ; n < 20; n++ {
			_, _, err := w.Dir.SignIn(w.ctx, acme, name, "wrong password here", "000000", w.Now)
			if fault.Is(err, fault.Limit) {
				return n
			}
			w.wantKind(err, fault.Unauthenticated)
		}
		return n
	}
	known, unknown := attempts("ann"), attempts("nobody")
	if known != unknown || known > 10 {
		w.t.Fatalf("attempts close after %d for an account and %d for an unknown name", known, unknown)
	}
	_, _, err := w.Dir.SignIn(w.ctx, acme, "ann", Password, ann.Code(), w.Now)
	w.wantKind(err, fault.Limit)
	bob.SignIn() // nobody else is locked out; half a minute passes
	w.Pass(5 * time.Minute)
	ann.SignIn()
	if n := attempts("ann"); n != known {
		w.t.Fatalf("after a good sign-in attempts close after %d, want %d", n, known)
	}
}

func unknownTenant(w *World) {
	for range 8 {
		_, _, err := w.Dir.SignIn(w.ctx, "made-up", "ann", Password, "123456", w.Now)
		w.wantKind(err, fault.Unauthenticated)
	}
	_, err := w.Store.Audit().Head(w.ctx, "made-up")
	w.wantKind(err, fault.NotFound)
}

func sessionEnds(w *World) {
	ann := w.Human(acme, "ann", ident.Requester)
	valid := func(token string) bool {
		p, err := w.Dir.Authenticate(w.ctx, token, w.Now)
		if err == nil && (p.Tenant != acme || p.Kind != ident.Person || p.ID != ann.Account.ID || !p.Has(ident.Requester)) {
			w.t.Fatalf("the token is %+v", p)
		}
		return err == nil
	}
	want := func(token string, want bool, what string) {
		w.t.Helper()
		if valid(token) != want {
			w.t.Fatalf("%s: the session's validity is not %v", what, want)
		}
	}
	_, token := ann.SignIn()
	want(token, true, "fresh")
	want(strings.Replace(token, identity.SessionPrefix, identity.RunPrefix, 1), false, "as a Run's token")
	for range 20 {
		w.Pass(8 * time.Hour)
		want(token, true, "in use")
	}
	w.must(w.Dir.Sweep(w.ctx, w.Now))
	want(token, true, "after sweeping")
	w.Pass(8 * time.Hour)
	want(token, false, "after seven days")
	w.Pass(25 * time.Hour)
	w.must(w.Dir.Sweep(w.ctx, w.Now))
	want(token, false, "swept")
	_, token = ann.SignIn()
	w.Pass(12 * time.Hour)
	want(token, false, "after twelve idle hours")
	_, token = ann.SignIn()
	w.must(w.Dir.SignOut(w.ctx, token, w.Now))
	want(token, false, "after signing out")
	if n := len(w.entries(acme, audit.SessionEnded)); n != 1 {
		w.t.Fatalf("%d ended sessions are on the record", n)
	}
	_, token = ann.SignIn()
	w.must(w.Dir.Disable(w.ctx, Admin(acme), acme, ann.Account.ID, true, w.Now))
	want(token, false, "of a disabled account")
	w.must(w.Dir.Disable(w.ctx, Admin(acme), acme, ann.Account.ID, false, w.Now))
	want(token, false, "of an account that was enabled again")
}

func runTokens(w *World) {
	w.Human(acme, "ann")
	w.Run(acme, "run_one")
	w.Run(globex, "run_one")
	_, err := w.Dir.Authenticate(w.ctx, w.mint("run_of_nobody"), w.Now)
	w.wantKind(err, fault.Unauthenticated)
	token, err := w.Dir.MintRun(w.ctx, acme, "run_one", w.Now.Add(time.Hour), w.Now)
	w.must(err)
	other, err := w.Dir.MintRun(w.ctx, globex, "run_one", w.Now.Add(24*time.Hour), w.Now)
	w.must(err)
	p, err := w.Dir.Authenticate(w.ctx, token, w.Now)
	w.must(err)
	if p.Kind != ident.Run || p.ID != "run_one" || p.Tenant != acme || len(p.Roles) != 0 {
		w.t.Fatalf("the token is %+v", p)
	}
	_, err = w.Dir.Confirm(w.ctx, p, Password, "123456", act, w.Now)
	w.wantKind(err, fault.Denied)
	_, err = w.Dir.Accounts(w.ctx, p)
	w.wantKind(err, fault.Denied)
	w.wantKind(w.Dir.SignOut(w.ctx, token, w.Now), fault.Unauthenticated)
	w.Pass(time.Hour)
	_, err = w.Dir.Authenticate(w.ctx, token, w.Now)
	w.wantKind(err, fault.Unauthenticated)
	token, err = w.Dir.MintRun(w.ctx, acme, "run_one", w.Now.Add(time.Hour), w.Now)
	w.must(err)
	w.must(w.Dir.EndRun(w.ctx, acme, "run_one", w.Now))
	_, err = w.Dir.Authenticate(w.ctx, token, w.Now)
	w.wantKind(err, fault.Unauthenticated)
	_, err = w.Dir.MintRun(w.ctx, acme, "run_one", w.Now.Add(time.Hour), w.Now)
	w.wantKind(err, fault.Conflict)
	p, err = w.Dir.Authenticate(w.ctx, other, w.Now) // another tenant's Run of the same id goes on
	w.must(err)
	if p.Tenant != globex {
		w.t.Fatalf("the token is %+v", p)
	}
}

// Run stores a Run that is under way.
func (w *World) Run(tenant ident.Tenant, id string) {
	w.t.Helper()
	_, err := w.Store.CreateRun(w.ctx, gate.NewRun{Run: intent.Run{Tenant: tenant, ID: id, Mission: "m", Starter: "person:acc_1", Worker: intent.Outside,
		Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: w.Now}})
	w.must(err)
}

func (w *World) mint(run string) string {
	w.t.Helper()
	token, err := w.Dir.MintRun(w.ctx, acme, run, w.Now.Add(time.Hour), w.Now)
	w.must(err)
	return token
}

func mustChange(w *World) {
	a, e, err := w.Dir.CreateAccount(w.ctx, Admin(acme), identity.NewAccount{Tenant: acme, Name: "ann"}, w.Now)
	w.must(err)
	ann := &Human{w, a, e.Password, e}
	if s, _ := ann.SignIn(); !s.MustChange {
		w.t.Fatal("the session does not say that the password has to be changed")
	}
	_, err = w.Dir.Confirm(w.ctx, a.Principal(), e.Password, ann.NextCode(), act, w.Now)
	w.wantKind(err, fault.Denied)
	_, _, err = w.Dir.ChangePassword(w.ctx, a.Principal(), e.Password, ann.NextCode(), Password, w.Now)
	w.must(err)
	_, err = w.Dir.Confirm(w.ctx, a.Principal(), Password, ann.NextCode(), act, w.Now)
	w.must(err)
}

func changePassword(w *World) {
	ann := w.Human(acme, "ann")
	_, stolen := ann.SignIn()
	who := ann.Account.Principal()
	for _, bad := range []string{"short", "", Password, strings.Repeat("x", 300), "\xff\xfe bytes that are no text"} {
		_, _, err := w.Dir.ChangePassword(w.ctx, who, Password, ann.NextCode(), bad, w.Now)
		w.wantKind(err, fault.Invalid)
	}
	_, _, err := w.Dir.ChangePassword(w.ctx, who, "wrong password here", ann.NextCode(), "another good password", w.Now)
	w.wantKind(err, fault.Unauthenticated)
	_, token, err := w.Dir.ChangePassword(w.ctx, who, Password, ann.NextCode(), "another good password", w.Now)
	w.must(err)
	_, err = w.Dir.Authenticate(w.ctx, stolen, w.Now)
	w.wantKind(err, fault.Unauthenticated)
	_, err = w.Dir.Authenticate(w.ctx, token, w.Now)
	w.must(err)
	_, _, err = w.Dir.SignIn(w.ctx, acme, "ann", Password, ann.NextCode(), w.Now)
	w.wantKind(err, fault.Unauthenticated)
	ann.Password = "another good password"
	ann.SignIn()
}

func reset(w *World) {
	ann := w.Human(acme, "ann")
	_, token := ann.SignIn()
	e, err := w.Dir.Reset(w.ctx, Admin(acme), acme, ann.Account.ID, w.Now)
	w.must(err)
	_, err = w.Dir.Authenticate(w.ctx, token, w.Now)
	w.wantKind(err, fault.Unauthenticated)
	_, _, err = w.Dir.SignIn(w.ctx, acme, "ann", e.Password, ann.NextCode(), w.Now)
	w.wantKind(err, fault.Unauthenticated) // the old authenticator is worth nothing
	ann.Password, ann.Factor = e.Password, e
	ann.SignIn()
	w.wantNowhere(acme, e.Password)
}

func onlyAdmins(w *World) {
	ann, boss := w.Human(acme, "ann", ident.Requester, ident.Builder, ident.Auditor, ident.Approver), w.Human(acme, "boss", ident.Admin)
	n := identity.NewAccount{Tenant: acme, Name: "new", Password: Password}
	_, _, err := w.Dir.CreateAccount(w.ctx, ann.Account.Principal(), n, w.Now)
	w.wantKind(err, fault.Denied)
	w.wantKind(w.Dir.SetRoles(w.ctx, ann.Account.Principal(), acme, ann.Account.ID, []ident.Role{ident.Admin}, w.Now), fault.Denied)
	admin := boss.Account.Principal()
	_, _, err = w.Dir.CreateAccount(w.ctx, admin, n, w.Now)
	w.must(err)
	_, _, err = w.Dir.CreateAccount(w.ctx, admin, n, w.Now)
	w.wantKind(err, fault.Conflict)
	for _, bad := range []identity.NewAccount{
		{Tenant: acme, Name: "No Name", Password: Password}, {Tenant: acme, Name: "x", Password: "short"},
		{Tenant: acme, Name: "x", Password: Password, Roles: []ident.Role{"root"}},
		{Tenant: acme, Name: "x", Password: Password, DisplayName: "Ann\u202eevil"},
	} {
		_, _, err := w.Dir.CreateAccount(w.ctx, admin, bad, w.Now)
		w.wantKind(err, fault.Invalid)
	}
	w.wantKind(w.Dir.Disable(w.ctx, admin, acme, boss.Account.ID, true, w.Now), fault.Invalid)
	w.wantKind(w.Dir.SetRoles(w.ctx, admin, acme, boss.Account.ID, nil, w.Now), fault.Invalid)
	w.must(w.Dir.SetRoles(w.ctx, admin, acme, ann.Account.ID, []ident.Role{ident.Approver}, w.Now))
	list, err := w.Dir.Accounts(w.ctx, admin)
	w.must(err)
	if len(list) != 3 || list[0].Name != "ann" || len(list[0].Roles) != 1 || list[0].Roles[0] != ident.Approver {
		w.t.Fatalf("the accounts are %+v", list)
	}
	if c, d := len(w.entries(acme, audit.AccountCreated)), len(w.entries(acme, audit.AccountChanged)); c != 3 || d != 1 {
		w.t.Fatalf("%d creations and %d changes are on the record", c, d)
	}
}

func tenantsApart(w *World) {
	ann, spy := w.Human(acme, "ann"), w.Human(globex, "ann", ident.Admin, ident.Builder)
	if ann.Account.ID == spy.Account.ID {
		w.t.Fatal("two people have one id")
	}
	_, _, err := w.Dir.SignIn(w.ctx, globex, "ann", Password, ann.Code(), w.Now)
	w.wantKind(err, fault.Unauthenticated)
	who := spy.Account.Principal()
	w.wantKind(w.Dir.Disable(w.ctx, who, acme, ann.Account.ID, true, w.Now), fault.Denied)
	w.wantKind(w.Dir.Disable(w.ctx, who, globex, ann.Account.ID, true, w.Now), fault.NotFound)
	_, err = w.Dir.Reset(w.ctx, who, acme, ann.Account.ID, w.Now)
	w.wantKind(err, fault.Denied)
	_, err = w.Dir.Account(w.ctx, globex, ann.Account.ID)
	w.wantKind(err, fault.NotFound)
	_, err = w.Dir.ApplyTeam(w.ctx, who, acme, Team("finance", "ann"), w.Now)
	w.wantKind(err, fault.Denied)
	team, err := w.Dir.ApplyTeam(w.ctx, who, globex, Team("finance", "ann"), w.Now)
	w.must(err)
	for _, q := range []struct {
		tenant        ident.Tenant
		team, account string
	}{{acme, "finance", ann.Account.ID}, {acme, team.ID, spy.Account.ID}, {globex, "finance", ann.Account.ID}} {
		_, err := w.Dir.MemberSince(w.ctx, q.tenant, q.team, q.account)
		w.wantKind(err, fault.NotFound)
	}
	list, err := w.Dir.Accounts(w.ctx, who)
	w.must(err)
	if len(list) != 1 || list[0].ID != spy.Account.ID {
		w.t.Fatalf("an admin of globex sees %+v", list)
	}
}

// Team is a Team as it is applied.
func Team(name string, members ...string) resource.Team {
	return resource.Team{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Name: name}, Members: members}
}

func teams(w *World) {
	ann, bob := w.Human(acme, "ann"), w.Human(acme, "bob")
	apply := func(members ...string) identity.Team {
		w.t.Helper()
		w.Pass(time.Hour)
		team, err := w.Dir.ApplyTeam(w.ctx, Admin(acme), acme, Team("finance", members...), w.Now)
		w.must(err)
		return team
	}
	since := func(h *Human, want time.Time) {
		w.t.Helper()
		got, err := w.Dir.MemberSince(w.ctx, acme, "finance", h.Account.ID)
		w.must(err)
		if !got.Equal(want) {
			w.t.Fatalf("member since %v, want %v", got, want)
		}
	}
	first := apply("ann")
	annJoined := w.Now
	second := apply("ann", "bob")
	since(ann, annJoined)
	since(bob, w.Now)
	if first.ID != second.ID || len(second.Members) != 2 {
		w.t.Fatalf("the Team became %+v", second)
	}
	apply("ann")
	_, err := w.Dir.MemberSince(w.ctx, acme, "finance", bob.Account.ID)
	w.wantKind(err, fault.NotFound)
	apply("ann", "bob")
	since(bob, w.Now) // who comes back joins anew
	since(ann, annJoined)
	before := len(w.entries(acme, audit.TeamChanged))
	apply("bob", "ann")
	if n := len(w.entries(acme, audit.TeamChanged)); n != before || n != 4 {
		w.t.Fatalf("%d changes are on the record, want 4", n)
	}
	w.must(w.Dir.Disable(w.ctx, Admin(acme), acme, bob.Account.ID, true, w.Now))
	_, err = w.Dir.MemberSince(w.ctx, acme, "finance", bob.Account.ID)
	w.wantKind(err, fault.NotFound)
	w.must(w.Dir.RemoveTeam(w.ctx, Admin(acme), acme, "finance", w.Now))
	if again := apply("ann"); again.ID == first.ID {
		w.t.Fatal("a Team that was removed came back under its id")
	}
	since(ann, w.Now)
}

func teamWhole(w *World) {
	w.Human(acme, "ann")
	_, err := w.Dir.ApplyTeam(w.ctx, Admin(acme), acme, Team("finance", "ann", "ghost"), w.Now)
	w.wantKind(err, fault.Invalid)
	_, err = w.Dir.ApplyTeam(w.ctx, Admin(acme), acme, Team("finance", "ann", "ann"), w.Now)
	w.wantKind(err, fault.Invalid)
	_, err = w.Dir.Team(w.ctx, acme, "finance")
	w.wantKind(err, fault.NotFound)
	if n := len(w.entries(acme, audit.TeamChanged)); n != 0 {
		w.t.Fatalf("%d changes are on the record of what did not happen", n)
	}
}

type sealed struct{}

func (sealed) MAC(vault.Purpose, ident.Tenant, ...string) ([]byte, error) {
	return nil, fault.New(fault.Unavailable, "the vault is sealed")
}

func keysFailClosed(w *World) {
	ann := w.Human(acme, "ann")
	_, token := ann.SignIn()
	dir, err := identity.New(w.Store, sealed{})
	w.must(err)
	_, _, err = dir.SignIn(context.Background(), acme, "ann", Password, ann.NextCode(), w.Now)
	w.wantKind(err, fault.Unavailable)
	_, err = dir.Authenticate(w.ctx, token, w.Now)
	w.wantKind(err, fault.Unavailable)
	_, err = dir.Confirm(w.ctx, ann.Account.Principal(), Password, ann.NextCode(), act, w.Now)
	w.wantKind(err, fault.Unavailable)
	_, err = dir.MintRun(w.ctx, acme, "run_one", w.Now.Add(time.Hour), w.Now)
	w.wantKind(err, fault.Unavailable)
}
