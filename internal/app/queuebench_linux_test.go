package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// crowd is a program in whose Decision Queue a lot waits, for five Teams. Its loops
// don't run.
type crowd struct {
	*App
	t     testing.TB
	clock time.Time
	runs  int
	log   safeBuffer
	// ann is in one of the Teams, joe in all of them; adam and eve are admins.
	ann, joe, adam, eve ident.Principal
	tokens              map[string]string // of sessions, by account
	codes               map[string]identity.Enrolment
}

var crowdTeams = []string{"finance", "legal", "sales", "plant", "tax"}

func newCrowd(t testing.TB) *crowd {
	t.Helper()
	dir := t.TempDir()
	c := &crowd{t: t, clock: time.Now().Truncate(time.Millisecond), tokens: map[string]string{}, codes: map[string]identity.Enrolment{}}
	var err error
	c.App, err = New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.NewTextHandler(&c.log, nil), Now: func() time.Time { return c.clock },
		Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}})
	c.must(err)
	t.Cleanup(func() { _ = c.Stop(context.WithoutCancel(t.Context())) })
	c.must(c.Vault.Unseal(t.Context(), c.store, c.cfg.Seals...))
	c.must(c.loadWorlds(t.Context()))
	for n := range 20 { // what each page is looked through for
		_, err := c.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: fmt.Sprint("system-", n), AnyOrigin: true, Actor: setter, Fields: map[string][]byte{"token": []byte(ident.New("tok"))}})
		c.must(err)
	}
	for name, role := range map[string]ident.Role{"ann": ident.Approver, "joe": ident.Approver, "adam": ident.Admin, "eve": ident.Admin} {
		a, enrolment, err := c.Directory.CreateAccount(t.Context(), setter, identity.NewAccount{Tenant: "acme", Name: name, Roles: []ident.Role{role}, Password: adminPassword}, c.clock)
		c.must(err)
		*map[string]*ident.Principal{"ann": &c.ann, "joe": &c.joe, "adam": &c.adam, "eve": &c.eve}[name] = a.Principal()
		c.codes[name] = enrolment
	}
	rs := []resource.Resource{
		&resource.Integration{Head: headOf(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"ERP","version":"1"},"paths":{"/v":{"post":{"operationId":"pay","responses":{"200":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: headOf(resource.KindConnection, "erp-write"), Integration: "erp", Tools: []string{"pay"}, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp"}},
		&resource.Mission{Head: headOf(resource.KindMission, "pay"), Goal: "pay", Connections: []string{"erp-write"}},
	}
	for n, name := range crowdTeams {
		team := &resource.Team{Head: headOf(resource.KindTeam, name), Members: []string{"joe"}}
		if n == 0 {
			team.Members = append(team.Members, "ann")
		}
		rs = append(rs, team)
	}
	_, err = c.Apply(t.Context(), setter, rs, true, false)
	c.must(err)
	c.clock = c.clock.Add(time.Hour)
	return c
}

func (c *crowd) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// perRun is how many actions of a Run wait.
const perRun = 10

// wait has so many more Decisions wait for so long; the last of them is for
// finance, the others for one Team after the other.
func (c *crowd) wait(n int, life time.Duration) decision.Decision {
	c.t.Helper()
	runs := make(chan [2]int) // the Run's number, and how many of it
	var wg sync.WaitGroup
	errs := make([]error, 256)
	var last decision.Decision
	c.clock = c.clock.Add(time.Second)
	for w := range errs {
		wg.Go(func() {
			for r := range runs {
				d, err := c.parkRun(r[0], r[1], life)
				if errs[w] = errors.Join(errs[w], err); r[0] == c.runs {
					last = d
				}
			}
		})
	}
	first := c.runs
	for left := n; left > 0; left -= perRun {
		c.runs++
	}
	for r, left := first+1, n; left > 0; r, left = r+1, left-perRun {
		runs <- [2]int{r, min(left, perRun)}
	}
	close(runs)
	wg.Wait()
	c.must(errors.Join(errs...))
	return last
}

func (c *crowd) parkRun(number, n int, life time.Duration) (d decision.Decision, err error) {
	run := fmt.Sprintf("run_%07d", number)
	ctx := c.t.Context()
	if _, err := c.store.CreateRun(ctx, gate.NewRun{Run: intent.Run{Tenant: "acme", ID: run, Mission: "pay", Starter: "person:acc_other", Worker: intent.Outside,
		Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: c.clock}}); err != nil {
		return d, err
	}
	for k := range n {
		at := c.clock.Add(time.Duration(number*perRun+k) * time.Microsecond) // many in one millisecond
		i := intent.Intent{Tenant: "acme", ID: ident.New("int"), Revision: 1, Run: run, Mission: "pay", Starter: "acc_other", Connection: "erp-write", Tool: "pay",
			Effect: resource.Write, Args: json.RawMessage(fmt.Sprintf(`{"amount":%d,"iban":"DE89370400440532013000","name":"Siemens AG"}`, number*perRun+k)),
			Reason: "the invoice is due", State: intent.Parked, CreatedAt: at, UpdatedAt: at}
		i.Bound = intent.Bound{Tenant: "acme", Run: run, Intent: i.ID, Revision: 1, Mission: i.Mission, Connection: i.Connection, Integration: "erp", IntegrationRevision: 1,
			Tool: i.Tool, ToolDigest: "t", Args: i.Args, Reason: i.Reason, SecretRef: "erp", VersionRule: "active",
			Request: intent.Request{Method: "POST", URL: "https://erp.example/v", Body: string(i.Args)}}
		if i.Digest, err = i.Bound.Digest(); err != nil {
			return d, err
		}
		team := crowdTeams[(number+k)%len(crowdTeams)]
		if k == n-1 {
			team = "finance"
		}
		if d, err = decision.New(i, []decision.Need{{Team: team, Count: 1}}, life, at); err != nil {
			return d, err
		}
		if _, _, err = c.store.Propose(ctx, gate.Proposed{Intent: i, ArgsDigest: intent.SHA256(i.Args), Decision: &d, MaxParked: 20, MaxCalls: 1000}); err != nil {
			return d, err
		}
	}
	return d, nil
}

// queue is the API's page for somebody, as they get it.
func (c *crowd) queue(who ident.Principal, query string) (out api.Queue) {
	c.t.Helper()
	c.signIn(who)
	req := httptest.NewRequestWithContext(c.t.Context(), "GET", "/v1/decisions"+query, nil)
	req.Header.Set("Authorization", "Bearer "+c.tokens[who.ID])
	rec := httptest.NewRecorder()
	c.handler().ServeHTTP(rec, req)
	b, err := io.ReadAll(rec.Body)
	c.must(err)
	if rec.Code != http.StatusOK {
		c.t.Fatalf("the queue said %d: %s", rec.Code, b)
	}
	c.must(json.Unmarshal(b, &out))
	return out
}

// signIn gives somebody a session.
func (c *crowd) signIn(who ident.Principal) {
	c.t.Helper()
	if c.tokens[who.ID] != "" {
		return
	}
	e := c.codes[who.Name]
	code, err := identity.Code(e.Secret, e.Alg, c.clock)
	c.must(err)
	_, c.tokens[who.ID], err = c.Directory.SignIn(c.t.Context(), "acme", who.Name, adminPassword, code, c.clock)
	c.must(err)
}

func (c *crowd) proof(who ident.Principal, p identity.Proof) {
	c.t.Helper()
	a, err := c.store.AccountByID(c.t.Context(), "acme", who.ID)
	c.must(err)
	p.Tenant, p.Account, p.Revision, p.Counter, p.Attempts = "acme", a.ID, a.Revision, a.Counter+1, a.ID
	c.must(c.store.AcceptProof(c.t.Context(), p))
}

// approve has somebody approve.
func (c *crowd) approve(who ident.Principal, d decision.Decision, timed func(func())) {
	c.t.Helper()
	c.vote(who, d, decision.Approve, "", timed)
}

// vote has somebody give a verdict, with a factor that is there already: what a
// password costs has nothing to do with the queue.
func (c *crowd) vote(who ident.Principal, d decision.Decision, v decision.Verdict, reason string, timed func(func())) {
	c.t.Helper()
	f := identity.Factor{ID: ident.New("fac"), Tenant: "acme", Account: who.ID, Method: "password+totp", At: c.clock, For: d.Act(v, who.ID)}
	c.proof(who, identity.Proof{Factor: &f})
	timed(func() {
		_, err := c.Desk.Decide(c.t.Context(), decision.Request{Tenant: "acme", Decision: d.ID, Verdict: v, Digest: d.Digest, Reason: reason, Who: who, Factor: (*decision.Factor)(&f)}, c.clock)
		c.must(err)
	})
}

// figure is what something takes, in milliseconds: by the clock, and of processors.
// On a machine with other work the first says little.
type figure struct{ wall, cpu float64 }

// median is of several measurements.
func median(n int, measure func(timed func(func()))) figure {
	var wall, cpu []float64
	for range n {
		measure(func(f func()) {
			began, used := time.Now(), processorTime()
			f()
			wall = append(wall, float64(time.Since(began).Microseconds())/1000)
			cpu = append(cpu, float64((processorTime()-used).Microseconds())/1000)
		})
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return figure{wall[n/2], cpu[n/2]}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// How many wait in the benchmark, and how many expire at once.
const (
	waiting = 100_000
	overdue = 1000
)

// BenchmarkQueue compares a queue of 100,000 Decisions with one of 100, in one run:
// each figure is in milliseconds at 100,000, with the ratio of the processor's time to
// that at 100. Making what waits takes some minutes.
func BenchmarkQueue(b *testing.B) {
	c := newCrowd(b)
	const week = 7 * 24 * time.Hour
	measure := func() map[string]figure {
		mine := c.queue(c.ann, "").Items
		at := 0
		c.queue(c.joe, "")
		c.queue(c.adam, "")
		m := map[string]figure{
			"list":        median(15, func(timed func(func())) { timed(func() { c.queue(c.ann, "") }) }),
			"list-middle": median(15, func(timed func(func())) { timed(func() { c.queue(c.ann, "?after="+mine[len(mine)-2].Decision.ID) }) }),
			"list-teams":  median(15, func(timed func(func())) { timed(func() { c.queue(c.joe, "") }) }),
			"list-all":    median(15, func(timed func(func())) { timed(func() { c.queue(c.adam, "") }) }),
			"list-closed": median(15, func(timed func(func())) { timed(func() { c.queue(c.ann, "?state=approved") }) }),
		}
		m["decide"] = median(15, func(timed func(func())) { c.approve(c.ann, mine[at].Decision, timed); at++ })
		m["decide-while-expiring"] = median(3, func(timed func(func())) {
			c.wait(overdue, time.Hour)
			c.clock = c.clock.Add(2 * time.Hour)
			done := make(chan error, 1)
			go func() { _, err := c.Desk.Expire(b.Context(), c.clock); done <- err }()
			c.approve(c.ann, mine[at].Decision, timed)
			at++
			c.must(<-done)
		})
		m["expire-1000"] = median(3, func(timed func(func())) {
			c.wait(overdue, time.Hour)
			c.clock = c.clock.Add(2 * time.Hour)
			clear(c.tokens)
			timed(func() {
				n, err := c.Desk.Expire(b.Context(), c.clock)
				if c.must(err); n != overdue {
					b.Fatalf("%d expired", n)
				}
			})
		})
		return m
	}
	for b.Loop() {
		c.wait(100, week)
		few := measure()
		c.wait(waiting-100, week)
		many := measure()
		for what, m := range many {
			b.ReportMetric(m.wall, what+"-ms")
			b.ReportMetric(m.cpu, what+"-cpu-ms")
			b.ReportMetric(m.cpu/few[what].cpu, what+"-ratio")
		}
	}
}
