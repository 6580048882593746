package cli_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/dbtest"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// envRotationKills is how many rotations of each system are killed at random. With
// it, every step is killed at every point; without, a few are: "make rotation-kill".
const envRotationKills = "SALLYPORT_TEST_ROTATION_KILLS"

func rotationKills() (n int, all bool) {
	if n, err := strconv.Atoi(os.Getenv(envRotationKills)); err == nil && n > 0 {
		return n, true
	}
	return 2, false
}

// killer is a data directory with one Secret that is rotated, at a system.
type killer struct {
	t        *testing.T
	dir, key string
	rotator  resource.Rotator
	hold     *hold
	kills    int
	ends     map[rotation.State]int
	whole    time.Duration // of a rotation that nobody kills, from the process's start
	// person says a person's word, where one is asked for.
	person func(a *app.App, r rotation.Rotation) rotation.Word
	// neat checks that the system has nothing left of ended rotations.
	neat func(*app.App, vault.Secret)
}

var keeper = ident.Principal{Tenant: "default", Kind: ident.Person, ID: "acc_keeper", Roles: []ident.Role{ident.Admin}}

func newKiller(t *testing.T, r resource.Rotator, h *hold, secrets map[string]map[string]string) *killer {
	t.Helper()
	x := &killer{t: t, dir: filepath.Join(t.TempDir(), "data"), key: filepath.Join(t.TempDir(), "seal.key"), rotator: r, hold: h, ends: map[rotation.State]int{},
		person: func(*app.App, rotation.Rotation) rotation.Word { return rotation.GiveUp }}
	origin, err := r.Origin()
	must(t, err)
	x.look(func(a *app.App) {
		for name, fields := range secrets {
			w := vault.Write{Tenant: "default", Name: name, Actor: keeper, Scope: &vault.Scope{Origins: []string{origin.String()}}, Fields: map[string][]byte{}}
			for f, v := range fields {
				w.Fields[f] = []byte(v)
			}
			_, err := a.Vault.Set(t.Context(), w)
			must(t, err)
		}
		_, err := a.Rotation.SetPolicy(t.Context(), keeper, "crm", resource.Rotation{Rotator: r}, "")
		must(t, err)
	})
	return x
}

// look opens the data directory as a server does, which makes no step of a rotation.
func (x *killer) look(do func(*app.App)) {
	x.t.Helper()
	ctx := context.WithoutCancel(x.t.Context())
	a, err := app.New(ctx, app.Config{Dir: x.dir, Listen: "127.0.0.1:0", Tenant: "default", LogHandler: slog.DiscardHandler,
		Seals: []kek.Seal{kek.NewKeyFile(x.key)}, RotationCrash: func(rotation.Rotation, rotation.Point) { panic("not here") }})
	must(x.t, err)
	must(x.t, a.Start(ctx))
	defer func() {
		// A child that is just being started would go on with the directory's lock until
		// it is another program.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		must(x.t, a.Stop(ctx))
	}()
	do(a)
}

// begin begins a rotation, which the next process takes on.
func (x *killer) begin() {
	x.t.Helper()
	x.look(func(a *app.App) {
		_, err := a.Rotation.Start(x.t.Context(), keeper, "crm", "")
		must(x.t, err)
	})
}

// serve starts the program. The function kills it with SIGKILL.
func (x *killer) serve() (kill func()) {
	x.t.Helper()
	path, err := exec.LookPath("sallyport")
	must(x.t, err)
	cmd := exec.Command(path, "--json", "serve", "--data", x.dir, "--key-file", x.key, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	must(x.t, err)
	must(x.t, cmd.Start())
	go func() { _, _ = bufio.NewReader(out).WriteTo(discard{}) }()
	return func() {
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// killedAt has the process die where the system holds it.
func (x *killer) killedAt(at string) {
	x.t.Helper()
	held := x.hold.arm(at)
	kill := x.serve()
	defer x.hold.release() // after the kill
	defer kill()
	select {
	case <-held:
		x.kills++
	case <-time.After(time.Minute):
		x.t.Fatalf("nothing came to %s; the rotation is %s", at, x.state())
	}
}

// state reads the rotation's, of a file that a process writes.
func (x *killer) state() (s rotation.State) {
	x.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(x.dir, "sallyport.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	must(x.t, err)
	defer db.Close()
	must(x.t, db.QueryRowContext(x.t.Context(), "SELECT state FROM rotation WHERE secret = 'crm'").Scan(&s))
	return s
}

// finish has a process that nobody kills bring the rotation to its end, or to a person.
func (x *killer) finish() rotation.State {
	x.t.Helper()
	began := time.Now()
	kill := x.serve()
	defer kill()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < time.Minute {
		if s := x.state(); s.Final() || s == rotation.NeedsPerson {
			if x.whole == 0 {
				x.whole = time.Since(began)
			}
			return s
		}
		<-tick.C
	}
	x.t.Fatalf("it comes to no end: %s", x.state())
	return ""
}

// one checks that exactly one version is active, and gives the Secret. works says
// that the system has to take it.
func (x *killer) one(where string, works bool) (head vault.Secret) {
	x.t.Helper()
	x.look(func(a *app.App) {
		var err error
		head, err = a.Vault.Show(x.t.Context(), "default", "crm")
		must(x.t, err)
		n := 0
		for _, v := range head.Versions {
			if v.State == vault.Active {
				n++
			}
		}
		if n != 1 || head.Active == 0 || head.Versions[head.Active-1].State != vault.Active {
			x.t.Fatalf("%s: %d versions are active", where, n)
		}
		if !works {
			return
		}
		if err := x.try(a, head.Active); err != nil {
			x.t.Errorf("%s: the system refuses the active version %d: %v", where, head.Active, err)
		}
		x.neat(a, head)
	})
	return head
}

func (x *killer) try(a *app.App, n int) error {
	d := func(ctx context.Context, address string, _ bool) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	return a.Vault.TryVersion(x.t.Context(), vault.RotationJob{Tenant: "default", Secret: "crm", Was: n, Actor: keeper, Rotator: x.rotator,
		Ways: vault.Ways{Base: &http.Transport{DisableKeepAlives: true}, Dial: d}}, n)
}

// through kills one rotation at each of the points in turn, then lets it end.
func (x *killer) through(points ...string) {
	x.t.Helper()
	x.begin()
	where := "killed at " + strings.Join(points, ", ")
	for _, at := range points {
		x.killedAt(at)
		x.one(where, false)
	}
	x.end(where)
}

// end brings a rotation to its end, with a person's word where one is asked for.
func (x *killer) end(where string) {
	x.t.Helper()
	s := x.finish()
	x.ends[s]++
	if s == rotation.NeedsPerson {
		if !x.rotator.Chooses() || x.rotator.Finds() || x.rotator.Once() {
			x.t.Errorf("%s: a person is asked", where)
		}
		x.look(func(a *app.App) {
			all, err := a.Rotation.Rotations.Rotations(x.t.Context(), "default")
			must(x.t, err)
			_, err = a.Rotation.Resolve(x.t.Context(), keeper, all[0].ID, x.person(a, all[0]), 0, "")
			must(x.t, err)
		})
	} else if s != rotation.Done {
		x.t.Errorf("%s: it is %s", where, s)
	}
	x.one(where, true)
}

// atRandom kills rotations at any moment, up to three times each.
func (x *killer) atRandom(rounds int) {
	x.t.Helper()
	x.through() // how long it takes
	for i := range rounds {
		x.begin()
		where := fmt.Sprint("at random, round ", i)
		for range 1 + rand.IntN(3) {
			kill := x.serve()
			<-time.After(time.Duration((0.2 + 0.9*rand.Float64()) * float64(x.whole)))
			kill()
			x.kills++
			x.one(where, false)
		}
		x.end(where)
	}
}

// result logs the figures, and has the whole record verified.
func (x *killer) result() {
	x.t.Helper()
	rep, err := app.VerifyAudit(x.t.Context(), x.dir, audit.VerifyOptions{})
	if err != nil || !rep.OK() {
		x.t.Errorf("the audit log: %v, %v", rep.Findings(), err)
	}
	x.t.Logf("%d kills; the rotations ended as %v", x.kills, x.ends)
}

// points are all of the steps.
func points(steps ...string) (out []string) {
	for _, s := range steps {
		out = append(out, s+"/before", s+"/after", s+"/half")
	}
	return out
}

// The program is killed while a system that issues tokens makes each step, and at
// random. One version is active after each kill; at the end the system takes it, and
// has no other credential.
func TestKilledInEveryStepOfATokensRotation(t *testing.T) {
	t.Parallel()
	rounds, all := rotationKills()
	bearer := resource.Auth{Scheme: resource.SchemeBearer}
	for name, change := range map[string]func(*resource.HTTPRotator){
		"a system that lists": func(h *resource.HTTPRotator) {
			h.Find = &resource.HTTPFind{HTTPStep: resource.HTTPStep{Method: "GET", Path: "/keys"}, ID: "/id", Label: "/label"}
		},
		"a system that knows a request again": func(h *resource.HTTPRotator) { h.Once = "Idempotency-Key" },
		"a system that does neither":          func(*resource.HTTPRotator) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newClerk(t)
			h := &resource.HTTPRotator{BaseURL: k.URL, Network: resource.Network{AllowLoopbackHTTP: true}, Auth: bearer, TryAuth: bearer,
				Create: resource.HTTPStep{Method: "POST", Path: "/keys", Body: []byte(`{"label":"{rotation}"}`)}, Try: resource.HTTPStep{Method: "GET", Path: "/me"},
				Delete: &resource.HTTPStep{Method: "DELETE", Path: "/keys/{id}"}, Fields: map[string]string{"token": "/token"}, ID: "/id", CurrentID: "k-0"}
			change(h)
			x := newKiller(t, resource.Rotator{Kind: resource.RotatorHTTP, Admin: "crm-admin", HTTP: h}, &k.hold,
				map[string]map[string]string{"crm": {"token": clerkFirst}, "crm-admin": {"token": clerkAdmin}})
			x.neat = func(_ *app.App, head vault.Secret) {
				known := []string{}
				for _, v := range head.Versions {
					known = append(known, v.Ref)
				}
				if x.rotator.Finds() || x.rotator.Once() {
					if n := k.count(); n != 1 {
						t.Errorf("the system has %d credentials", n)
					}
				}
				k.forget(known) // what a person was asked to look for
				if n := k.count(); n != 1 {
					t.Errorf("after a person has looked, the system has %d credentials", n)
				}
			}
			few := map[bool][]string{true: points("create", "try", "delete"), false: {"create/after"}}[all]
			for _, at := range few {
				x.through(at)
			}
			switch {
			case x.rotator.Finds(): // what was found and taken away after the first kill
				for _, at := range map[bool][]string{true: points("find", "delete"), false: {"find/half"}}[all] {
					x.through("create/after", at)
				}
			case x.rotator.Once():
				x.through("create/half", "create/after", "try/before", "delete/after")
			}
			x.atRandom(rounds)
			x.result()
		})
	}
}

// The same with passwords of a real PostgreSQL.
func TestKilledInEveryStepOfAPasswordsRotation(t *testing.T) {
	t.Parallel()
	rounds, all := rotationKills()
	for name, users := range map[string][]string{"one user": nil, "two users who take turns": {"app_a", "app_b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.Postgres(t, "CREATE ROLE app_a LOGIN PASSWORD 'the-first-of-app-a-17'", "CREATE ROLE app_b LOGIN")
			r := newRelay(t, db.Port)
			x := newKiller(t, resource.Rotator{Kind: resource.RotatorPostgres, Admin: "db-admin", SQL: &resource.SQLRotator{Host: "127.0.0.1", Port: r.port,
				Database: "postgres", Network: resource.Network{AllowLoopbackHTTP: true}, Users: users}}, &r.hold, map[string]map[string]string{
				"crm": {"username": "app_a", "password": "the-first-of-app-a-17"}, "db-admin": {"username": db.Admin, "password": db.Password}})
			x.neat = func(a *app.App, head vault.Secret) {
				for _, v := range head.Versions {
					if v.Version != head.Active && v.State != vault.Destroyed && x.try(a, v.Version) == nil {
						t.Errorf("the system still takes version %d", v.Version)
					}
				}
			}
			steps := []string{"apply", "try"}
			if users != nil {
				steps = append(steps, "delete")
			}
			for _, at := range map[bool][]string{true: points(steps...), false: {steps[len(steps)-1] + "/after"}}[all] {
				x.through(at)
			}
			x.through(slices.Concat([]string{"apply/after", "apply/half"}, map[bool][]string{true: points("try")}[all])...)
			x.atRandom(rounds)
			x.result()
		})
	}
}

// The same with refresh tokens that are good once. One that the server replaced is
// kept; one whose answer was lost is exchanged by nobody again, and a person
// authorises anew.
func TestKilledInEveryStepOfARefreshTokensRotation(t *testing.T) {
	t.Parallel()
	rounds, all := rotationKills()
	m := newMinter(t)
	x := newKiller(t, resource.Rotator{Kind: resource.RotatorRefresh, Refresh: &resource.RefreshRotator{TokenURL: m.URL + "/token", Network: resource.Network{AllowLoopbackHTTP: true}}},
		&m.hold, map[string]map[string]string{"crm": {"username": "client-7", "token": "access-0-Zq83mPw0vXr5", "refresh_token": minterFirst}})
	x.neat = func(*app.App, vault.Secret) {}
	x.person = func(a *app.App, r rotation.Rotation) rotation.Word {
		if r.Stuck != rotation.Making || r.Version != 0 {
			t.Errorf("a person is asked in %s: %s", r.Stuck, r.Why)
		}
		next, access := m.consent()
		_, err := a.Vault.Rotate(t.Context(), vault.Write{Tenant: "default", Name: "crm", Actor: keeper,
			Fields: map[string][]byte{"username": []byte("client-7"), "token": []byte(access), "refresh_token": []byte(next)}})
		must(t, err)
		return rotation.Settled
	}
	for _, at := range map[bool][]string{true: points("token"), false: {"token/after"}}[all] {
		x.through(at)
	}
	x.atRandom(rounds)
	x.through() // the last one that was kept is good
	if m.reused > 0 {
		t.Errorf("%d refresh tokens were used twice", m.reused)
	}
	x.result()
}
