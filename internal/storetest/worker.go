package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Apply stores a resource, or with nil removes the one of that kind and name.
type Apply func(tenant ident.Tenant, kind resource.Kind, name string, r resource.Resource) error

// Outsider plays the stories of outside Workers.
func Outsider(t *testing.T, open func(*testing.T) (Store, Apply)) {
	for name, story := range map[string]func(*agency){
		"a token is the Worker until it is revoked":        workerToken,
		"a token ends, and with it what was got by it":     workerTokenEnds,
		"who may give a Worker a token":                    whoMints,
		"a Worker is somebody as long as somebody owns it": workerStands,
		"a Worker that is removed leaves no token behind":  workerRemoved,
		"a Worker has only so many tokens":                 tooManyTokens,
		"a Worker has one open Run of a Mission":           oneRun,
		"open Runs are bounded in three ways":              boundedRuns,
		"parked Intents are bounded in three ways":         boundedParked,
		"calls are counted from what is stored":            storedCalls,
		"what was denied is told once for each minute":     excessTold,
		"an approved action is taken back or claimed":      takenBack,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, apply := open(t)
			story(&agency{World: NewWorld(t, s), apply: apply})
		})
	}
}

// agency is a world with outside Workers.
type agency struct {
	*World
	apply Apply
	last  int
}

// worker applies one.
func (a *agency) worker(name, owner string) *resource.Worker {
	a.t.Helper()
	w := &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: name}, Owner: owner}
	a.must(a.apply(acme, resource.KindWorker, name, w))
	a.Workers[acme] = append(a.Workers[acme], w)
	return w
}

// mintFor gives a Worker a token, by a person with a new code.
func (a *agency) mintFor(h *Human, worker string, life time.Duration) (identity.WorkerToken, string) {
	a.t.Helper()
	code := h.NextCode()
	wt, secret, err := a.Dir.MintWorker(a.ctx, h.Account.Principal(), worker, life, Password, code, a.Now)
	a.must(err)
	return wt, secret
}

func (a *agency) nobody(token string) {
	a.t.Helper()
	who, err := a.Dir.Caller(a.ctx, token, a.Now)
	if !fault.Is(err, fault.Unauthenticated) || who.Valid() {
		a.t.Errorf("it is %+v, %v", who, err)
	}
}

func workerToken(a *agency) {
	root := a.Human(acme, "root", ident.Admin)
	a.worker("night", "root")
	wt, secret := a.mintFor(root, "night", 0)
	if !strings.HasPrefix(secret, identity.WorkerPrefix) || !wt.ExpiresAt.Equal(a.Now.Add(identity.DefaultWorkerToken)) {
		a.t.Errorf("the token is %+v", wt)
	}
	who, err := a.Dir.Caller(a.ctx, secret, a.Now)
	a.must(err)
	if who.String() != "worker:night" || who.Tenant != acme || len(who.Roles) != 0 || who.Auth.How != "token:"+wt.Fingerprint {
		a.t.Errorf("it is %+v", who)
	}
	_, err = a.Dir.Authenticate(a.ctx, secret, a.Now) // it signs nobody in
	a.wantKind(err, fault.Unauthenticated)
	_, err = a.Dir.Confirm(a.ctx, who, Password, "123456", act, a.Now)
	a.wantKind(err, fault.Denied)
	a.wantNowhere(acme, secret)
	list, err := a.Dir.WorkerTokens(a.ctx, root.Account.Principal(), "night")
	a.must(err)
	if b, _ := json.Marshal(list); len(list) != 1 || strings.Contains(string(b), secret[4:20]) || !list[0].UsedAt.Equal(a.Now.Truncate(time.Hour)) {
		a.t.Errorf("it is listed as %s", b)
	}
	for i := range secret { // no other spelling is it
		spoiled := []byte(secret)
		spoiled[i] ^= 1
		a.nobody(string(spoiled))
	}
	a.Run(acme, "run_night")
	run, err := a.Dir.MintRunFor(a.ctx, who, "run_night", a.Now.Add(time.Hour), a.Now)
	a.must(err)
	as, err := a.Dir.Caller(a.ctx, run, a.Now)
	a.must(err)
	if as.Kind != ident.Run || as.ID != "run_night" || as.Auth.How != who.Auth.How {
		a.t.Errorf("the Run's token is %+v", as)
	}
	a.must(a.Dir.RevokeWorker(a.ctx, root.Account.Principal(), "night", wt.ID, a.Now))
	a.nobody(secret)
	a.nobody(run)
	a.wantKind(a.Dir.RevokeWorker(a.ctx, root.Account.Principal(), "night", wt.ID, a.Now), fault.NotFound)
	if n := len(a.entries(acme, audit.WorkerTokenMinted)) + len(a.entries(acme, audit.WorkerTokenRevoked)); n != 2 {
		a.t.Errorf("%d entries", n)
	}
}

func workerTokenEnds(a *agency) {
	root := a.Human(acme, "root", ident.Admin)
	a.worker("night", "root")
	_, secret := a.mintFor(root, "night", time.Hour)
	who, err := a.Dir.Caller(a.ctx, secret, a.Now)
	a.must(err)
	a.Run(acme, "run_night")
	run, err := a.Dir.MintRunFor(a.ctx, who, "run_night", a.Now.Add(24*time.Hour), a.Now)
	a.must(err)
	a.Pass(59 * time.Minute)
	_, err = a.Dir.Caller(a.ctx, run, a.Now)
	a.must(err)
	a.Pass(time.Minute)
	a.nobody(secret)
	a.nobody(run)
	for _, life := range []time.Duration{time.Second, -time.Hour, identity.MaxWorkerToken + time.Hour} {
		_, _, err := a.Dir.MintWorker(a.ctx, root.Account.Principal(), "night", life, Password, root.NextCode(), a.Now)
		a.wantKind(err, fault.Invalid)
	}
}

func whoMints(a *agency) {
	root, ann, bob := a.Human(acme, "root", ident.Admin), a.Human(acme, "ann", ident.Requester), a.Human(acme, "bob", ident.Builder, ident.Approver, ident.Auditor)
	a.worker("night", "ann")
	mint := func(h *Human, password, code string) error {
		_, _, err := a.Dir.MintWorker(a.ctx, h.Account.Principal(), "night", 0, password, code, a.Now)
		return err
	}
	a.wantKind(mint(bob, Password, bob.NextCode()), fault.Denied)
	a.wantKind(mint(ann, "", ""), fault.Denied)
	a.wantKind(mint(ann, Password, "000000"), fault.Unauthenticated)
	a.wantKind(mint(root, "another password", root.NextCode()), fault.Unauthenticated)
	code := ann.NextCode()
	a.must(mint(ann, Password, code))
	a.wantKind(mint(ann, Password, code), fault.Unauthenticated) // once
	a.must(mint(root, Password, root.NextCode()))
	_, err := a.Dir.WorkerTokens(a.ctx, bob.Account.Principal(), "night") // an auditor
	a.must(err)
	eve := a.Human(acme, "eve", ident.Requester)
	_, err = a.Dir.WorkerTokens(a.ctx, eve.Account.Principal(), "night")
	a.wantKind(err, fault.Denied)
	_, err = a.Dir.WorkerTokens(a.ctx, eve.Account.Principal(), "nothing") // what does not exist says no more
	a.wantKind(err, fault.Denied)
	list, err := a.Dir.WorkerTokens(a.ctx, root.Account.Principal(), "night")
	a.must(err)
	a.wantKind(a.Dir.RevokeWorker(a.ctx, bob.Account.Principal(), "night", list[0].ID, a.Now), fault.Denied)
	a.must(a.Dir.RevokeWorker(a.ctx, ann.Account.Principal(), "night", list[1].ID, a.Now)) // the owner, what an admin made
	_, _, err = a.Dir.MintWorker(a.ctx, ident.Principal{Tenant: acme, Kind: ident.Worker, ID: "night"}, "night", 0, Password, ann.NextCode(), a.Now)
	a.wantKind(err, fault.Denied)
}

func workerStands(a *agency) {
	ann := a.Human(acme, "ann", ident.Admin)
	w := a.worker("night", "ann")
	_, secret := a.mintFor(ann, "night", 0)
	ok := func() {
		a.t.Helper()
		_, err := a.Dir.Caller(a.ctx, secret, a.Now)
		a.must(err)
	}
	ok()
	w.Disabled = true
	a.nobody(secret)
	w.Disabled = false
	ok()
	all := a.Workers[acme]
	a.Workers[acme] = nil
	a.nobody(secret)
	a.Workers[acme] = all
	a.must(a.Dir.Disable(a.ctx, Admin(acme), acme, ann.Account.ID, true, a.Now))
	a.nobody(secret)
	_, _, err := a.Dir.Standing(a.ctx, acme, "night")
	a.wantKind(err, fault.Denied)
	a.must(a.Dir.Disable(a.ctx, Admin(acme), acme, ann.Account.ID, false, a.Now))
	ok()
	err = a.apply(acme, resource.KindWorker, "day", &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: "day"}, Owner: "nobody"})
	a.wantKind(err, fault.Invalid)
}

// What comes later under a Worker's name is another.
func workerRemoved(a *agency) {
	root := a.Human(acme, "root", ident.Admin)
	a.worker("night", "root")
	a.worker("day", "root")
	_, night := a.mintFor(root, "night", 0)
	_, day := a.mintFor(root, "day", 0)
	a.must(a.apply(acme, resource.KindWorker, "night", nil))
	a.Workers[acme] = nil
	a.worker("night", "root")
	a.Workers[acme] = append(a.Workers[acme], &resource.Worker{Head: resource.Head{Name: "day"}, Owner: "root"})
	a.nobody(night)
	_, err := a.Dir.Caller(a.ctx, day, a.Now)
	a.must(err)
	if n := len(a.entries(acme, audit.WorkerTokenRevoked)); n != 1 {
		a.t.Errorf("%d entries", n)
	}
}

func tooManyTokens(a *agency) {
	a.Human(acme, "root", ident.Admin)
	a.worker("night", "root")
	insert := func(n int) error {
		r := identity.WorkerTokenRow{Tenant: acme, Hash: fmt.Sprint("h", n), Bind: "b", WorkerToken: identity.WorkerToken{ID: fmt.Sprint("wtk_", n), Worker: "night", Fingerprint: "f",
			By: "acc_1", CreatedAt: a.Now, ExpiresAt: a.Now.Add(time.Hour)}}
		return a.Store.InsertWorkerToken(a.ctx, r, 3, audit.Event{Type: audit.WorkerTokenMinted, Tenant: acme, At: a.Now, Actor: "person:acc_1",
			Fields: map[string]any{"worker": "night", "name": r.ID}})
	}
	for n := range 3 {
		a.must(insert(n))
	}
	a.wantKind(insert(4), fault.Limit)
	a.must(a.Store.RevokeWorkerToken(a.ctx, acme, "night", "wtk_1", audit.Event{Type: audit.WorkerTokenRevoked, Tenant: acme, At: a.Now, Actor: "person:acc_1",
		Fields: map[string]any{"worker": "night", "name": "wtk_1"}}))
	a.must(insert(4))
	if _, err := a.Store.WorkerTokenByHash(a.ctx, "h1"); !fault.Is(err, fault.NotFound) {
		a.t.Errorf("a revoked one is found: %v", err)
	}
}

// start begins a Run of an outside Worker.
func (a *agency) start(worker, mission string, alone bool, qs ...gate.Quota) (intent.Run, error) {
	a.last++
	return a.Store.CreateRun(a.ctx, gate.NewRun{Alone: alone, Quotas: qs, Run: intent.Run{Tenant: acme, ID: fmt.Sprint("run_", a.last), Mission: mission, Starter: "worker:" + worker,
		Worker: intent.Outside, Auth: "token:abc", Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: a.Now}})
}

func (a *agency) end(run string) {
	a.t.Helper()
	a.must(a.Store.EndRun(a.ctx, acme, run, "done", "", a.Now, audit.Event{Type: audit.RunEnded, Tenant: acme, At: a.Now, Actor: "run:" + run, Run: run}, explain.Observation{Tenant: acme, Run: run, At: a.Now, Kind: explain.Verdict, Title: "done"}))
}

func oneRun(a *agency) {
	one, err := a.start("night", "m", true)
	a.must(err)
	again, err := a.start("night", "m", true)
	a.must(err)
	other, err := a.start("night", "n", true)
	a.must(err)
	day, err := a.start("day", "m", true)
	a.must(err)
	if again.ID != one.ID || other.ID == one.ID || day.ID == one.ID || again.Auth != "token:abc" {
		a.t.Errorf("%s, %s, %s, %s", one.ID, again.ID, other.ID, day.ID)
	}
	got, err := a.Store.OpenRunOf(a.ctx, acme, "m", "worker:night")
	if err != nil || got.ID != one.ID {
		a.t.Errorf("open is %s, %v", got.ID, err)
	}
	a.end(one.ID)
	_, err = a.Store.OpenRunOf(a.ctx, acme, "m", "worker:night")
	a.wantKind(err, fault.NotFound)
	_, err = a.Store.OpenRunOf(a.ctx, globex, "n", "worker:night")
	a.wantKind(err, fault.NotFound)
	next, err := a.start("night", "m", true)
	if err != nil || next.ID == one.ID {
		a.t.Errorf("then %s, %v", next.ID, err)
	}
}

// quotas are a Worker's, its owner's and a Mission's.
func quotas(own, owner, mission int) []gate.Quota {
	return []gate.Quota{{What: "own", Starters: []string{"worker:night"}, Most: own}, {What: "owner", Starters: []string{"worker:night", "worker:day"}, Most: owner},
		{What: "mission", Mission: "m", Most: mission}}
}

func (a *agency) over(err error, what string) {
	a.t.Helper()
	over, ok := errors.AsType[*gate.OverLimit](err)
	if !ok || over.Quota.What != what || !fault.Is(err, fault.Limit) {
		a.t.Errorf("%v, want the limit %s", err, what)
	}
}

func boundedRuns(a *agency) {
	first, err := a.start("night", "m", false, quotas(1, 2, 3)...)
	a.must(err)
	_, err = a.start("night", "n", false, quotas(1, 2, 3)...)
	a.over(err, "own")
	_, err = a.start("day", "n", false)
	a.must(err)
	_, err = a.start("night", "n", false, quotas(9, 2, 3)...)
	a.over(err, "owner")
	_, err = a.start("other", "m", false)
	a.must(err)
	_, err = a.start("night", "m", false, quotas(9, 9, 2)...)
	a.over(err, "mission")
	a.Run(acme, "run_of_a_person") // counts for nobody
	a.end(first.ID)
	_, err = a.start("night", "m", false, quotas(1, 2, 2)...)
	a.must(err)
	_, err = a.start("night", "n", false, gate.Quota{What: "nobody", Most: 5})
	a.wantKind(err, fault.Internal)
}

// park proposes a write that waits.
func (a *agency) park(run intent.Run, qs ...gate.Quota) (intent.Intent, error) {
	a.t.Helper()
	a.last++
	i := intent.Intent{Tenant: acme, ID: fmt.Sprint("int_", a.last), Revision: 1, Run: run.ID, Mission: run.Mission, Starter: run.Starter, Connection: "c", Tool: "t",
		Effect: resource.Write, Args: json.RawMessage(fmt.Sprintf(`{"n":%d}`, a.last)), State: intent.Parked, CreatedAt: a.Now, UpdatedAt: a.Now}
	i.Bound = intent.Bound{Tenant: acme, Run: i.Run, Intent: i.ID, Revision: 1, Mission: i.Mission, Connection: "c", Tool: "t", Args: i.Args}
	var err error
	i.Digest, err = i.Bound.Digest()
	a.must(err)
	d, err := decision.New(i, []decision.Need{{Team: "finance", Count: 1}}, 0, a.Now)
	a.must(err)
	_, _, err = a.Store.Propose(a.ctx, gate.Proposed{Intent: i, ArgsDigest: intent.SHA256(i.Args), Decision: &d, MaxParked: 20, MaxCalls: 1000, Quotas: qs,
		Events: []audit.Event{{Type: audit.IntentParked, Tenant: acme, At: a.Now, Actor: "run:" + i.Run, Run: i.Run, Intent: i.ID, Fields: map[string]any{"digest": i.Digest}}}})
	return i, err
}

// staffed has somebody who can be asked.
func (a *agency) staffed() {
	a.t.Helper()
	a.Human(acme, "ann")
	_, err := a.Dir.ApplyTeam(a.ctx, Admin(acme), acme, Team("finance", "ann"), a.Now)
	a.must(err)
}

func boundedParked(a *agency) {
	a.staffed()
	night, err := a.start("night", "m", false)
	a.must(err)
	day, err := a.start("day", "n", false)
	a.must(err)
	third, err := a.start("third", "m", false)
	a.must(err)
	_, err = a.park(night, quotas(1, 2, 3)...)
	a.must(err)
	_, err = a.park(night, quotas(1, 2, 3)...)
	a.over(err, "own")
	_, err = a.park(day)
	a.must(err)
	_, err = a.park(night, quotas(9, 2, 3)...)
	a.over(err, "owner")
	_, err = a.park(third)
	a.must(err)
	_, err = a.park(night, quotas(9, 9, 2)...)
	a.over(err, "mission")
	under, err := a.Store.UnderWay(a.ctx, acme, night.ID)
	if err != nil || len(under) != 1 || under[0].State != intent.Parked {
		a.t.Errorf("under way: %+v, %v", under, err)
	}
	a.end(night.ID) // which withdraws what waits
	if under, err = a.Store.UnderWay(a.ctx, acme, night.ID); err != nil || len(under) != 0 {
		a.t.Errorf("after the end: %+v, %v", under, err)
	}
	next, err := a.start("night", "m", false)
	a.must(err)
	_, err = a.park(next, quotas(1, 2, 2)...)
	a.must(err)
}

func storedCalls(a *agency) {
	a.staffed()
	from := a.Now
	night, err := a.start("night", "m", false)
	a.must(err)
	_, err = a.park(night)
	a.must(err)
	a.Pass(30 * time.Minute)
	_, err = a.park(night)
	a.must(err)
	a.end(night.ID)
	day, err := a.start("day", "n", false)
	a.must(err)
	_, err = a.park(day)
	a.must(err)
	for i, want := range []int{2, 3, 2} {
		n, err := a.Store.WorkerCalls(a.ctx, acme, quotas(0, 0, 0)[i], from.Add(-time.Second))
		if err != nil || n != want {
			a.t.Errorf("%d: %d calls, %v, want %d", i, n, err, want)
		}
	}
	if n, err := a.Store.WorkerCalls(a.ctx, acme, quotas(0, 0, 0)[0], from.Add(time.Minute)); err != nil || n != 1 {
		a.t.Errorf("%d calls since, %v", n, err)
	}
}

func excessTold(a *agency) {
	minute := a.Now.UTC().Truncate(time.Minute)
	count := func(worker string, m time.Time, n int) {
		a.t.Helper()
		a.must(a.Store.CountExcess(a.ctx, []gate.Excess{{Tenant: acme, Worker: worker, Minute: m, Denied: n, Why: "calls"}}))
	}
	tell := func(before time.Time) int {
		a.t.Helper()
		left, err := a.Store.TellExcess(a.ctx, before, func(x gate.Excess) gate.Told {
			return gate.Told{Type: audit.WorkerLimited, Tenant: x.Tenant, At: a.Now, Actor: "worker:" + x.Worker, Fields: map[string]any{"worker": x.Worker, "count": x.Denied, "why": x.Why}}
		})
		a.must(err)
		return left
	}
	count("night", minute, 1)
	count("night", minute, 9_000)
	count("day", minute, 5)
	count("night", minute.Add(time.Minute), 7)
	if left := tell(minute); left != 3 || len(a.entries(acme, audit.WorkerLimited)) != 0 {
		a.t.Errorf("%d are kept of a minute that is not over", left)
	}
	if left := tell(minute.Add(time.Minute)); left != 1 {
		a.t.Errorf("%d are kept", left)
	}
	if left := tell(minute.Add(time.Minute)); left != 1 || len(a.entries(acme, audit.WorkerLimited)) != 2 {
		a.t.Errorf("it was told again, %d are kept", left)
	}
	sum := ""
	for _, e := range a.entries(acme, audit.WorkerLimited) {
		sum += fmt.Sprint(e.Fields["worker"], " ", e.Fields["count"], ";")
	}
	if sum != "day 5;night 9001;" {
		a.t.Errorf("told: %s", sum)
	}
}

// Of a claim and a withdrawal one comes first, and the other is a Conflict.
func takenBack(a *agency) {
	a.staffed()
	for _, first := range []intent.State{intent.Withdrawn, intent.Claimed} {
		run, err := a.start("night", "m", false)
		a.must(err)
		i, err := a.park(run)
		a.must(err)
		step := func(from, to intent.State) error {
			_, err := a.Store.Step(a.ctx, commit.Step{Tenant: acme, Intent: i.ID, Run: i.Run, From: from, To: to, At: a.Now,
				Events: []audit.Event{{Type: audit.IntentDecided, Tenant: acme, At: a.Now, Actor: "run:" + i.Run, Run: i.Run, Intent: i.ID, Fields: map[string]any{"state": string(to)}}}})
			return err
		}
		a.must(step(intent.Parked, intent.Approved))
		a.must(step(intent.Approved, first))
		second := intent.Claimed
		if first == intent.Claimed {
			second = intent.Withdrawn
		}
		a.wantKind(step(intent.Approved, second), fault.Conflict)
		a.end(run.ID)
	}
}
