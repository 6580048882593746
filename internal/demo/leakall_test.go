package demo_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// The sinks that are not files or tables.
const (
	logsText, logsJSON = "logs", "logs in JSON"
	apiAnswers, pages  = "answers of the API", "pages of the console"
)

// dataFiles are what the server keeps in its data directory; a file that is none
// of these fails the suite. Tables and columns are read from the databases.
var dataFiles = []string{sqlite.File, sqlite.File + "-wal", sqlite.File + "-shm", "engine.db", "engine.db-wal", "engine.db-shm", "*.lock", "lock"}

// TestLeakNothingComesOutOfAnyDoor opens every door of the table, has the system
// behind it say what it knows in every way there is, calls every route with what
// must not be known, and searches every sink. Then it plants a canary in each sink
// past the scrubber, and finds it.
func TestLeakNothingComesOutOfAnyDoor(t *testing.T) {
	t.Parallel()
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	handler := slog.NewMultiHandler(slog.NewTextHandler(s.at(logsText), debug), slog.NewJSONHandler(s.at(logsJSON), debug))
	out := beOutside(t, s)
	w := start(t, func(c *demo.Config) {
		c.LogHandler, c.Audit = handler, out.config
		c.Programs, c.Unconfined = []string{childProgram(t)}, true
	})
	out.keyed(w)
	h := beHostile(t)
	w.openDoors(h)
	told := w.openChannels()
	parked := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"})
	_, err := parked.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "reason": "it is wanted", "args": map[string]any{"name": "Acme", "country": "DE"}})
	w.must(err)
	w.discussed(parked.run, doors[0].own().Value)
	cases, runs := w.askAll(s)
	h.received(t, cases)
	runs = append(runs, w.throughMCP(s, doors[0].own().Value))
	w.tellAll(s, told)
	w.rails(s, runs)
	w.must(parked.call("POST", "/v1/runs/"+parked.run+"/end", map[string]any{"verdict": "done"}, nil))
	w.incite()
	w.enrolPasskey("approver")
	w.employ()
	routes, calls := w.crawlRoutes(s, []string{parked.run, runs[0]}, doors[0].own().Value)
	w.hourPasses()
	w.outside("requester", "leak", nil) // it goes on, so that there is a token
	w.must(w.as("admin").Call(w.t.Context(), "POST", "/v1/holds", map[string]any{"kind": "mission", "name": "vendor-onboarding", "why": "it is looked into"}, nil))
	w.must(w.as("admin").Call(w.t.Context(), "POST", "/v1/stops", map[string]any{"kind": "connection", "name": "erp-write", "reason": "it sent " + doors[0].own().Value}, nil))
	w.eventually("the schedule is looked at", func() bool { return len(query(w.t, w.open(sqlite.File), "SELECT * FROM schedule_mark")) > 0 })
	w.forgotten(doors[0].own().Value)
	out.caughtUp(w)
	w.stored(s)
	w.backedUp(s)
	w.everyTableWasUsed(s)

	var all []leaktest.Canary
	for _, d := range doors {
		all = append(all, d.canaries()...)
	}
	for _, d := range channelDoors {
		all = append(all, d.canary())
	}
	found := s.search(t, all)
	for sink, hits := range found {
		for _, hit := range hits {
			t.Errorf("%s has %s, %s: %.200q", sink, hit.Canary, hit.Way, hit.Near)
		}
	}
	w.planted(s, handler, out)
	t.Logf("leak suite end to end: %d answers of hostile systems through %d doors, and to messages through %d; %d calls of %d routes; %d canaries searched for in %d sinks",
		cases, len(doors), len(channelDoors), calls, routes, len(all), len(s.seen))
}

// discussed has what waits asked about, answered and changed, each with a secret
// first: that is refused.
func (w *world) discussed(run, secret string) {
	w.t.Helper()
	var q struct{ Items []item }
	w.must(w.as("approver").Call(w.t.Context(), "GET", "/v1/decisions?run="+run, nil, &q))
	d := q.Items[0].Decision
	at := "/v1/decisions/" + d.ID
	var asked struct{ ID string }
	for _, text := range []string{"is it like " + secret, "is it new?"} {
		said := strings.Contains(text, secret)
		err := w.as("approver").Call(w.t.Context(), "POST", at+"/questions", map[string]any{"digest": d.Digest, "text": text}, &asked)
		if (problemOf(err).Kind == "denied") != said || err != nil && !said {
			w.t.Errorf("a question, with a secret %v: %v", said, err)
		}
	}
	for _, text := range []string{"it is like " + secret, "it is"} {
		said := strings.Contains(text, secret)
		err := w.as("requester").Call(w.t.Context(), "POST", at+"/questions/"+asked.ID+"/answer", map[string]any{"text": text}, nil)
		if (problemOf(err).Kind == "denied") != said || err != nil && !said {
			w.t.Errorf("an answer, with a secret %v: %v", said, err)
		}
	}
	for _, name := range []string{secret, "Acme GmbH"} {
		err := w.as("approver").Call(w.t.Context(), "POST", at+"/edit", map[string]any{"digest": d.Digest, "args": map[string]any{"name": name, "country": "DE"}}, nil)
		if (problemOf(err).Kind == "denied") != (name == secret) || err != nil && name != secret {
			w.t.Errorf("a change to %d bytes: %v", len(name), err)
		}
	}
}

// rails reads all about the Runs, and the whole audit log.
func (w *world) rails(s *sinks, runs []string) {
	w.t.Helper()
	w.as("auditor")
	c := w.sniff(s, w.tokens["auditor"])
	for _, run := range runs {
		for _, path := range []string{"", "/intents", "/observations?limit=500", "/observations?before=0", "/follow", "/replay"} {
			_ = c.Call(w.t.Context(), "GET", "/v1/runs/"+run+path, nil, nil) // lines are not one value: the sink has them
		}
	}
	for from := range 20 {
		w.must(c.Call(w.t.Context(), "GET", fmt.Sprint("/v1/audit/entries?limit=500&from=", from*500), nil, nil))
	}
}

// stored takes in every table and every file that the server keeps.
func (w *world) stored(s *sinks) {
	w.t.Helper()
	dir := demo.ServerDir(w.dir)
	for _, file := range []string{sqlite.File, "engine.db"} {
		s.rows(w.t, filepath.Join(dir, file))
	}
	s.files(w.t, dir, func(rel string) bool {
		if !slices.ContainsFunc(dataFiles, func(p string) bool { ok, _ := path.Match(p, filepath.ToSlash(rel)); return ok }) {
			w.t.Errorf("the data directory has a new file, %s: name it in dataFiles, and see that it is searched", rel)
		}
		return true
	})
}

// backedUp takes in a backup as its reader gets it.
func (w *world) backedUp(s *sinks) {
	w.t.Helper()
	w.must(w.App.Backup(w.t.Context(), w.principal("admin"), w.People["admin"].Password, w.code("admin"), "to be searched", s.at("backup")))
	if len(s.tail("backup", 0)) < 1<<10 {
		w.t.Error("the backup is empty")
	}
}

// employ has an outside Worker with a token, and a Run of its own.
func (w *world) employ() {
	w.t.Helper()
	leak := applied[*resource.Mission](w, resource.KindMission, "leak")
	leak.Workers = []string{"leak-agent"}
	w.apply(leak, &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: "leak-agent"}, Owner: "admin"})
	var m api.MintedWorkerToken
	w.must(w.as("admin").Call(w.t.Context(), "POST", "/v1/workers/leak-agent/tokens", map[string]any{"password": w.People["admin"].Password, "code": w.code("admin")}, &m))
	w.must(w.client(m.Token).Call(w.t.Context(), "POST", "/v1/missions/leak/runs", map[string]any{}, nil))
}

// unused are the tables that the suite leaves empty, with the reason.
var unused = map[string]string{
	"outbox":          "it is empty when everything was carried out; the same test searches it on the way",
	"policy_use":      "no Policy of the example has a limit; its rows have digests, ids and numbers",
	"transcript":      "it is of the built-in Worker, which the same test has, and searches",
	"worker_excess":   "no Worker is beyond a limit; it has names and numbers, and is empty again after a minute",
	"rotation_policy": "no Secret of the example has one; its rows have names, ids and a policy, which has no place for a value",
	"lease":           "no Secret of the example is made for a Run; its rows have names, ids, paths, times and fixed sentences, and by what a backend ends it",
	"rotation":        "no Secret of the example is rotated; its rows have names, ids, numbers and fixed sentences",
}

// everyTableWasUsed says that each table had rows in it: what is empty was not
// searched for anything.
func (w *world) everyTableWasUsed(s *sinks) {
	w.t.Helper()
	for _, table := range w.tables(sqlite.File) {
		empty := len(s.tail("table "+sqlite.File+" "+table, 0)) == 0
		if why := unused[table]; empty != (why != "") {
			w.t.Errorf("the table %s is empty: %v; why it may be: %q. Drive the suite through what fills it, or say why not in unused", table, empty, why)
		}
	}
}

// planted puts a canary into each sink, through the sink's own way past the
// scrubber, and has the search find it there.
func (w *world) planted(s *sinks, handler slog.Handler, out *outsiders) {
	w.t.Helper()
	in := func(sink string) leaktest.Canary { return leaktest.Mint(sink, "planted", "token") }
	own := func(sink string) string { return leaktest.PerByte("%%%02x")(in(sink).Value) }
	from := s.sizes()
	slog.New(handler).Info("past the scrubber", slog.String("text", own(logsText)), slog.String("json", own(logsJSON)))
	mirror := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte(r.URL.RawQuery)) }))
	w.t.Cleanup(mirror.Close)
	wanted := map[string]string{logsText: logsText, logsJSON: logsJSON, apiAnswers: apiAnswers, pages: pages}
	for sink := range out.plant(w, own) {
		wanted[sink] = sink
	}
	for _, sink := range []string{apiAnswers, pages} {
		resp, err := (&http.Client{Transport: tapped(s, sink)}).Get(mirror.URL + "/?" + own(sink))
		w.must(err)
		_ = resp.Body.Close()
	}
	for _, file := range []string{sqlite.File, "engine.db"} {
		for _, table := range w.tables(file) {
			sink := "table " + file + " " + table
			if w.plant(file, table, own(sink)) {
				wanted[sink] = sink
				wanted[sink+" in the file"] = "file " + file + "-wal"
			}
		}
	}
	w.stored(s)
	var all []leaktest.Canary
	for sink := range wanted {
		all = append(all, in(strings.TrimSuffix(sink, " in the file")))
	}
	x, found := leaktest.NewIndex(all...), map[string]bool{} // by canary and where it was seen
	for _, where := range slices.Compact(slices.Sorted(maps.Values(wanted))) {
		x.Forget() // what one sink has, another may have too
		for _, h := range x.Search(s.tail(where, from[where])) {
			found[h.Canary.Door+" in "+where] = true
		}
	}
	for sink, where := range wanted {
		if !found[strings.TrimSuffix(sink, " in the file")+" in "+where] {
			w.t.Errorf("what was planted in %s is not found in %s", sink, where)
		}
	}
	if len(wanted) < 20 {
		w.t.Errorf("only %d sinks could be planted in", len(wanted))
	}
	w.t.Logf("leak suite: %d plantings, all looked for", len(wanted))
}

// sizes are how much each sink has.
func (s *sinks) sizes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sizes := map[string]int{}
	for name, b := range s.seen {
		sizes[name] = b.Len()
	}
	return sizes
}

// tail is what came into a sink since it had the size.
func (s *sinks) tail(name string, from int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[name] == nil {
		return nil
	}
	return bytes.Clone(s.seen[name].Bytes()[from:])
}

// tables are all of a database.
func (w *world) tables(file string) (names []string) {
	w.t.Helper()
	for _, row := range query(w.t, w.open(file), `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`) {
		names = append(names, string(row))
	}
	return names
}

func (w *world) open(file string) *sql.DB {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(demo.ServerDir(w.dir), file)+"?_pragma=busy_timeout(10000)")
	w.must(err)
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// plant writes a text into the last column of a table that takes one, in a row
// that is there; false where there is none.
func (w *world) plant(file, table, text string) bool {
	w.t.Helper()
	db := w.open(file)
	columns := query(w.t, db, `SELECT name FROM pragma_table_info('`+table+`') WHERE upper(type) IN ('TEXT', 'BLOB') ORDER BY pk, cid DESC`)
	for _, c := range columns {
		res, err := db.ExecContext(w.t.Context(), `UPDATE "`+table+`" SET "`+string(c)+`" = $1 WHERE rowid = (SELECT max(rowid) FROM "`+table+`")`, text)
		if err != nil {
			continue // a constraint, or a table without row ids
		}
		if n, _ := res.RowsAffected(); n == 1 {
			return true
		}
	}
	return false
}

// elsewhere are the schemes without a door in the table, with the reason.
var elsewhere = map[string]string{
	string(resource.SchemeNone):        "it has no credential",
	string(resource.SchemeOAuthClient): "its token passes the door of bearer; who gave the token is asked in the tests of the vault, which search what came back",
	string(resource.SchemeOAuthUser):   "the same, of tokens that a person authorised",
}

// TestLeakEveryDoorIsInTheTable reads from the code which kinds of Integration and
// of credential there are: each has a door that the suite opens.
func TestLeakEveryDoorIsInTheTable(t *testing.T) {
	has := func(f func(door) bool) bool { return slices.ContainsFunc(doors, f) }
	for _, kind := range implementing(t, "../connector/*/*.go", "Do") {
		if !slices.Contains([]string{"http", "mcp", "model"}, kind) {
			t.Errorf("the connector %s has no door in the table", kind)
		}
	}
	for _, scheme := range constants(t, "../resource/resource.go", "Scheme") {
		told := slices.ContainsFunc(channelDoors, func(d channelDoor) bool { return string(d.scheme) == scheme })
		if elsewhere[scheme] != "" {
			continue
		}
		if !told && !has(func(d door) bool { return string(d.scheme) == scheme }) {
			t.Errorf("the scheme %s has no door in the table", scheme)
		}
	}
	for _, provider := range cases(t, "../connector/model/model.go", "Provider") {
		if !has(func(d door) bool { return d.provider == provider }) {
			t.Errorf("the provider %s has no door in the table", provider)
		}
	}
	doorsOfVault, err := filepath.Glob("../vault/*cred")
	if err != nil || !slices.Equal(doorsOfVault, []string{"../vault/httpcred", "../vault/oauthcred", "../vault/proccred", "../vault/smtpcred"}) {
		t.Errorf("the vault has doors that the suite does not know: %q, %v", doorsOfVault, err)
	}
}

// parsed visits every node of the files that match.
func parsed(t *testing.T, glob string, visit func(pkg string, n ast.Node)) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", glob, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool { visit(f.Name.Name, n); return true })
	}
}

// implementing are the packages with a method of the name.
func implementing(t *testing.T, glob, method string) (all []string) {
	parsed(t, glob, func(pkg string, n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == method {
			all = append(all, pkg)
		}
	})
	if len(all) == 0 {
		t.Errorf("nothing in %s has a method %s", glob, method)
	}
	return all
}

// constants are the values of a type's string constants.
func constants(t *testing.T, glob, typ string) (all []string) {
	parsed(t, glob, func(_ string, n ast.Node) {
		if v, ok := n.(*ast.ValueSpec); ok && exprText(v.Type) == typ {
			all = append(all, texts(v.Values)...)
		}
	})
	if len(all) == 0 {
		t.Errorf("%s has no constants of the type %s", glob, typ)
	}
	return all
}

// cases are the string cases of a switch over a field.
func cases(t *testing.T, glob, field string) (all []string) {
	parsed(t, glob, func(_ string, n ast.Node) {
		if s, ok := n.(*ast.SwitchStmt); ok {
			if sel, ok := s.Tag.(*ast.SelectorExpr); ok && sel.Sel.Name == field {
				for _, c := range s.Body.List {
					all = append(all, texts(c.(*ast.CaseClause).List)...)
				}
			}
		}
	})
	if len(all) == 0 {
		t.Errorf("%s has no switch over %s", glob, field)
	}
	return all
}

func texts(exprs []ast.Expr) (all []string) {
	for _, e := range exprs {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, _ := strconv.Unquote(lit.Value) // the parser took it
			all = append(all, s)
		}
	}
	return all
}
