package demo_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"sallyport.dev/client"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// us is the product itself, for what no route does.
var us = ident.Principal{Tenant: demo.Tenant, Kind: ident.System, ID: "test", Name: "a test"}

// within runs a sub-test in the same world.
func (w *world) within(t *testing.T, name string, story func()) {
	outer := w.t
	t.Run(name, func(t *testing.T) {
		w.t = t
		defer func() { w.t = outer }()
		story()
	})
}

// worker is a Run that a Worker outside does: the test speaks for it.
type worker struct {
	*world
	run   string
	token string
}

func (w *world) outside(starter, mission string, input map[string]any) *worker {
	w.t.Helper()
	var out struct {
		Run   intent.Run
		Token string
	}
	w.must(w.as(starter).Call(w.t.Context(), "POST", "/v1/missions/"+mission+"/runs", map[string]any{"input": input, "outside": true}, &out))
	return &worker{w, out.Run.ID, out.Token}
}

func (k *worker) propose(p map[string]any) (it intent.Intent, err error) {
	err = k.call("POST", "/v1/runs/"+k.run+"/intents", p, &it)
	return it, err
}

func (k *worker) call(method, path string, in, out any) error {
	return k.client(k.token).Call(k.t.Context(), method, path, in, out)
}

// person makes somebody of the company with the whole factor.
func (w *world) person(name string, roles ...ident.Role) {
	w.t.Helper()
	p := &demo.Person{Name: name, Roles: roles, Password: "the one of " + name + ", long enough"}
	a, e, err := w.App.Directory.CreateAccount(w.t.Context(), us, identity.NewAccount{Tenant: demo.Tenant, Name: name, Roles: roles, Password: p.Password}, w.clock.now())
	w.must(err)
	p.Account, p.Secret, p.Alg = a, e.Secret, e.Alg
	w.People[name] = p
}

// principal is somebody as the product knows them.
func (w *world) principal(name string) ident.Principal { return w.People[name].Account.Principal() }

// apply applies resources as the builder does.
func (w *world) apply(rs ...resource.Resource) {
	w.t.Helper()
	w.must(w.as("builder").Call(w.t.Context(), "POST", "/v1/resources", map[string]any{"resources": rs}, nil))
}

// applied is a copy of what is applied.
func applied[R resource.Resource](w *world, kind resource.Kind, name string) R {
	w.t.Helper()
	world, err := w.App.World(demo.Tenant)
	w.must(err)
	for _, r := range world.Catalog.Resources() {
		if h := r.Header(); h.Kind == kind && h.Name == name {
			b, err := json.Marshal(r)
			w.must(err)
			again := resource.New(kind)
			w.must(json.Unmarshal(b, again))
			return again.(R)
		}
	}
	w.t.Fatalf("there is no %s %s", kind, name)
	panic("unreachable")
}

func (w *world) team(members ...string) {
	t := applied[*resource.Team](w, resource.KindTeam, "finance")
	t.Members = members
	w.apply(t)
}

// database is the server's, as an attacker has it who can write its file.
func (w *world) database() *sql.DB {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(demo.ServerDir(w.dir), sqlite.File)+"?_pragma=busy_timeout(10000)")
	w.must(err)
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// spoil changes exactly n rows of the database.
func (w *world) spoil(n int64, query string, args ...any) {
	w.t.Helper()
	res, err := w.database().ExecContext(w.t.Context(), query, args...)
	w.must(err)
	if got, err := res.RowsAffected(); err != nil || got != n {
		w.t.Fatalf("the attack changed %d rows, not %d: %v", got, n, err)
	}
}

// copyOf keeps a row as it is now, for who wants to put it back later.
func (w *world) copyOf(table, id string) (putBack func()) {
	w.t.Helper()
	key := map[string]string{"resource": "name", "team_member": "account"}[table]
	if key == "" {
		key = "id"
	}
	rows, err := w.database().QueryContext(w.t.Context(), "SELECT * FROM "+table+" WHERE "+key+" = $1", id)
	w.must(err)
	defer rows.Close()
	columns, err := rows.Columns()
	w.must(err)
	if !rows.Next() {
		w.t.Fatalf("there is no %s %s", table, id)
	}
	vals, dst := make([]any, len(columns)), make([]any, len(columns))
	for i := range vals {
		dst[i] = &vals[i]
	}
	w.must(rows.Scan(dst...))
	w.must(rows.Err())
	marks := strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")
	return func() {
		w.t.Helper()
		w.spoil(1, "INSERT OR REPLACE INTO "+table+" ("+strings.Join(columns, ",")+") VALUES ("+marks+")", vals...)
	}
}

// entry is one of the audit log.
type entry struct {
	Type, Actor, Run, Intent, Connection, Tool string
	Fields                                     map[string]any
}

// trail reads the audit log; query is like "intent=int_…".
func (w *world) trail(query string) []entry {
	w.t.Helper()
	var all []entry
	for from := int64(0); ; {
		var page struct {
			Entries []entry
			Next    int64
		}
		w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/audit/entries?limit=500&from="+itoa(from)+"&"+query, nil, &page))
		all, from = append(all, page.Entries...), page.Next
		if len(page.Entries) < 500 {
			return all
		}
	}
}

func itoa(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func count(es []entry, typ string) int {
	return len(slices.DeleteFunc(slices.Clone(es), func(e entry) bool { return e.Type != typ }))
}

// intent reads one Intent as the auditor sees it.
func (w *world) intent(run, id string) (it intent.Intent) {
	w.t.Helper()
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+run+"/intents/"+id, nil, &it))
	return it
}

func problemOf(err error) client.Problem {
	var p *client.Problem
	if errors.As(err, &p) {
		return *p
	}
	return client.Problem{}
}

// turnstile holds chosen writes between their approval and their dispatch, so
// that a test can change the world there.
type turnstile struct {
	mu    sync.Mutex
	gates map[string]*gateway
}

type gateway struct{ arrived, open chan struct{} }

func (s *turnstile) pass(it intent.Intent, p commit.Point) {
	if p != commit.BeforeClaim {
		return
	}
	s.mu.Lock()
	g := s.gates[it.ID]
	delete(s.gates, it.ID)
	s.mu.Unlock()
	if g != nil {
		close(g.arrived)
		<-g.open
	}
}

// hold makes the dispatch of an Intent wait until open is closed.
func (s *turnstile) hold(t *testing.T, id string) *gateway {
	g := &gateway{make(chan struct{}), make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates == nil {
		s.gates = map[string]*gateway{}
	}
	s.gates[id] = g
	t.Cleanup(g.release)
	return g
}

func (g *gateway) release() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}
