package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// office is a world with a finance Team and a Desk.
type office struct {
	log func() (audit.Source, error) // as who has a copy of it reads it
	*World
	desk                   *decision.Desk
	starter, ann, bob, eve *Human
	parties                decision.Parties
	tamper                 func(*intent.Intent) // what a reader of the store is made to see
	known                  map[string]string    // by value: the name of the Secret that it is of
	told                   []string             // of Decisions that are held, with the Secrets
	woken                  int
	mu                     sync.Mutex
	lastRun                int
	financeID              string
	missionName            string
	needs                  []decision.Need // of what is parked
}

func newOffice(t *testing.T, s Store) *office {
	o := &office{World: NewWorld(t, s), needs: of("finance"), missionName: "vendor-onboarding"}
	o.starter, o.ann, o.bob, o.eve = o.person(acme, "sam"), o.person(acme, "ann"), o.person(acme, "bob"), o.person(acme, "eve")
	team, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "ann", "bob", "sam"), o.Now)
	o.must(err)
	o.financeID = team.ID
	_, err = o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("legal", "eve"), o.Now)
	o.must(err)
	o.desk, err = decision.NewDesk(decision.Config{Store: s, Papers: s, Facts: o, Involved: o,
		Clean: func(_ ident.Tenant, s string) string { return strings.ReplaceAll(s, "CANARY", "[secret]") },
		Known: o.meets, Hold: s.Hold, Now: func() time.Time { return o.Now },
		Altered: func(_ context.Context, d decision.Decision, i intent.Intent, secrets []string) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.told = append(o.told, d.ID+" "+i.ID+" "+strings.Join(secrets, ","))
			return nil
		},
		Wake: func(ident.Tenant, string) { o.mu.Lock(); o.woken++; o.mu.Unlock() }})
	o.must(err)
	o.Pass(time.Hour)
	return o
}

// meets looks for the values of known as they are: encodings are the scrubber's.
func (o *office) meets(_ ident.Tenant, texts ...[]byte) (names []string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for value, name := range o.known {
		if bytes.Contains(bytes.Join(texts, []byte("\n")), []byte(value)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// person has an account, an approver's where no role is given, and no password, which
// would take its time to hash.
func (o *office) person(tenant ident.Tenant, name string, roles ...ident.Role) *Human {
	o.t.Helper()
	if len(roles) == 0 {
		roles = []ident.Role{ident.Approver}
	}
	r := identity.Record{Account: identity.Account{Tenant: tenant, ID: ident.New("acc"), Name: name, DisplayName: name, Roles: roles, CreatedAt: o.Now},
		Password: "none", TOTPSalt: []byte("none"), Algorithm: identity.SHA1}
	o.must(o.Store.InsertAccount(o.ctx, r, audit.Event{Type: audit.AccountCreated, Tenant: tenant, At: o.Now, Actor: "system:setup"}))
	return &Human{w: o.World, Account: r.Account}
}

// Intent, MemberSince, AdminSince and Parties are the desk's facts.
func (o *office) Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error) {
	i, err := o.Store.Intent(ctx, tenant, id)
	if o.tamper != nil {
		o.tamper(&i)
	}
	return i, err
}

func (o *office) MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error) {
	return o.Store.MemberSince(ctx, tenant, team, account)
}

func (o *office) AdminSince(ctx context.Context, tenant ident.Tenant, account string) (time.Time, error) {
	return o.Store.AdminSince(ctx, tenant, account)
}

func (o *office) Parties(context.Context, intent.Intent) (decision.Parties, error) {
	return o.parties, nil
}

// newIntent makes a write of a Run of its own.
func (o *office) newIntent(tenant ident.Tenant) intent.Intent {
	o.t.Helper()
	o.lastRun++
	run := fmt.Sprintf("run_%d", o.lastRun)
	_, err := o.Store.CreateRun(o.ctx, gate.NewRun{Run: intent.Run{Tenant: tenant, ID: run, Mission: o.missionName, Starter: "person:" + o.starter.Account.ID,
		Via: "portal", Worker: intent.BuiltIn, Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: o.Now}})
	o.must(err)
	i := intent.Intent{Tenant: tenant, ID: ident.New("int"), Revision: 1, Run: run, Mission: o.missionName, Starter: o.starter.Account.ID,
		Connection: "erp-write", Tool: "createVendor", Effect: resource.Write, Args: json.RawMessage(`{"name":"Siemens AG"}`),
		Reason: "no duplicate was found", State: intent.Parked, CreatedAt: o.Now, UpdatedAt: o.Now}
	i.Bound = intent.Bound{Tenant: tenant, Run: run, Intent: i.ID, Revision: 1, Mission: i.Mission, Connection: i.Connection, Integration: "erp",
		IntegrationRevision: 1, Tool: i.Tool, ToolDigest: "t", Args: i.Args, Reason: i.Reason, SecretRef: "erp-write", VersionRule: "active",
		Request: intent.Request{Method: "POST", URL: "https://erp.example/vendors", Body: string(i.Args)}}
	i.Digest, err = i.Bound.Digest()
	o.must(err)
	return i
}

// park proposes a write that waits for the Team.
func (o *office) park() decision.Item { return o.parkIn(acme) }

func (o *office) parkIn(tenant ident.Tenant) decision.Item {
	o.t.Helper()
	i := o.newIntent(tenant)
	d, err := decision.New(i, o.needs, 0, o.Now)
	o.must(err)
	o.must(o.propose(i, d))
	it, err := o.desk.Get(o.ctx, tenant, d.ID)
	o.must(err)
	return it
}

func (o *office) propose(i intent.Intent, d decision.Decision) error {
	_, _, err := o.Store.Propose(o.ctx, gate.Proposed{Intent: i, ArgsDigest: intent.SHA256(i.Args), Decision: &d, MaxParked: 20, MaxCalls: 1000})
	return err
}

// factor is a fresh one for a verdict, as it is stored for a good password and
// code.
func (o *office) factor(d decision.Decision, v decision.Verdict, h *Human) *decision.Factor {
	o.t.Helper()
	return o.factorFor(d.Act(v, h.Account.ID), h)
}

func (o *office) factorFor(act intent.Digest, h *Human) *decision.Factor {
	o.t.Helper()
	if h.Password != "" {
		f, err := o.Dir.Confirm(o.ctx, h.Account.Principal(), h.Password, h.NextCode(), act, o.Now)
		o.must(err)
		return (*decision.Factor)(&f)
	}
	r, err := o.Store.AccountByID(o.ctx, h.Account.Tenant, h.Account.ID)
	o.must(err)
	f := identity.Factor{ID: ident.New("fac"), Tenant: r.Tenant, Account: r.ID, Method: identity.MethodTOTP, At: o.Now, For: act}
	o.must(o.Store.AcceptProof(o.ctx, identity.Proof{Tenant: r.Tenant, Account: r.ID, Revision: r.Revision, Counter: r.Counter + 1, Attempts: r.ID, Factor: &f}))
	return (*decision.Factor)(&f)
}

// request is a good one, by ann.
func (o *office) request(d decision.Decision, v decision.Verdict, h *Human) decision.Request {
	return decision.Request{Tenant: d.Tenant, Decision: d.ID, Verdict: v, Digest: d.Digest, Who: h.Account.Principal(), Factor: o.factor(d, v, h)}
}

func (o *office) wantState(d decision.Decision, ds decision.State, is intent.State) decision.Item {
	o.t.Helper()
	it, err := o.desk.Get(o.ctx, d.Tenant, d.ID)
	o.must(err)
	if it.Decision.State != ds || it.Intent.State != is {
		o.t.Fatalf("the Decision is %s and the Intent %s, want %s and %s", it.Decision.State, it.Intent.State, ds, is)
	}
	return it
}

func (o *office) wantCode(err error, c decision.Code) {
	o.t.Helper()
	if decision.CodeOf(err) != c {
		o.t.Fatalf("got %v (%q), want the refusal %q", err, decision.CodeOf(err), c)
	}
}

// repark asks a person after all, about the Intent as it is now.
func (o *office) repark(i intent.Intent, d decision.Decision, uses ...policy.Use) error {
	return o.Store.Repark(o.ctx, commit.Step{Tenant: i.Tenant, Intent: i.ID, Run: i.Run, From: intent.Approved, To: intent.Parked, At: o.Now}, i, d, uses)
}
