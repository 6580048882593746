package demo_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// TestAWorkerReachesNothingThatItsMissionDoesNotHold has a Worker that asks for
// everything else.
func TestAWorkerReachesNothingThatItsMissionDoesNotHold(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	wide := w.wide()
	k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Original Ltd", "country": "DE", "tax_id": "DE129274202"})
	w.within(t, "every other Connection and Tool", func() { w.otherTools(k) })
	w.within(t, "names that are no names", func() { w.oddNames(k) })
	w.within(t, "every other route", func() { w.otherRoutes(k) })
	w.within(t, "other hosts and paths through arguments", func() { w.waysOut(wide) })
	w.within(t, "what the systems count", func() {
		for name, n := range w.requests() {
			if n != 0 {
				w.t.Errorf("%s has seen %d requests", name, n)
			}
		}
	})
	w.within(t, "the end of the Run ends its token", func() {
		w.must(k.call("POST", "/v1/runs/"+k.run+"/end", map[string]any{"verdict": "failed"}, nil))
		if err := k.call("GET", "/v1/runs/"+k.run, nil, nil); problemOf(err).Kind != "unauthenticated" {
			w.t.Errorf("the token of an ended Run: %v", err)
		}
	})
}

func (w *world) requests() map[string]int {
	out := map[string]int{}
	for _, name := range company.Names {
		out[name] = w.stats(name).Requests
	}
	return out
}

// deniedAlike makes proposals that have to be refused with one and the same
// text, each on the record.
func (w *world) deniedAlike(k *worker, tools [][2]string) {
	w.t.Helper()
	before := count(w.trail("run="+k.run), "intent.denied")
	var texts []string
	for _, t := range tools {
		it, err := k.propose(map[string]any{"connection": t[0], "tool": t[1], "args": map[string]any{}, "reason": "let me see"})
		if problemOf(err).Kind != "denied" || it.ID != "" {
			w.t.Errorf("%q: %v, %+v", t, err, it)
		}
		texts = append(texts, fmt.Sprintf("%+v", problemOf(err)))
	}
	if slices.Sort(texts); len(slices.Compact(texts)) != 1 {
		w.t.Errorf("what exists can be told from what does not: %q", slices.Compact(texts))
	}
	if n := count(w.trail("run="+k.run), "intent.denied") - before; n != len(tools) {
		w.t.Errorf("the audit log has %d denials of %d", n, len(tools))
	}
}

func (w *world) otherTools(k *worker) {
	applied, err := w.App.World(demo.Tenant)
	w.must(err)
	var brief intent.Brief
	w.must(k.call("GET", "/v1/runs/"+k.run+"/brief", nil, &brief))
	held := map[[2]string]bool{{"model", "complete"}: true}
	for _, t := range brief.Tools {
		held[[2]string{t.Connection, t.Tool}] = true
	}
	connections, tools := []string{"payroll", "vault", "http", ""}, []string{"listSalaries", "readSecret", "fetch", ""}
	for _, r := range applied.Catalog.Resources() {
		switch r := r.(type) {
		case *resource.Connection:
			connections = append(connections, r.Name)
		case *resource.Integration:
			connections = append(connections, r.Name)
			i, _ := applied.Catalog.Integration(r.Name)
			for _, t := range i.Kind.Tools() {
				tools = append(tools, t.Name)
			}
		}
	}
	var all [][2]string
	for _, c := range connections {
		for _, t := range tools {
			if !held[[2]string{c, t}] {
				all = append(all, [2]string{c, t})
			}
		}
	}
	if len(held) != 7 || len(all) < 100 || !slices.Contains(all, [2]string{"wide", "readThing"}) || !slices.Contains(all, [2]string{"erp-read", "createVendor"}) {
		w.t.Fatalf("the Mission holds %v, and %d others were listed", held, len(all))
	}
	w.deniedAlike(k, all)
}

func (w *world) oddNames(k *worker) {
	w.deniedAlike(k, [][2]string{
		{"erp-write ", "createVendor"}, {"ERP-WRITE", "createVendor"}, {"erp-write\x00", "createVendor"}, {"../erp-write", "createVendor"},
		{"erp-write", "createVendor\n"}, {"erp-write__createVendor", ""}, {"", "erp-write__createVendor"}, {"erp-read", "../createVendor"},
		{"erp-write\u202e", "createVendor"}, {"erp-wr\u0131te", "createVendor"}, {"*", "*"}, {"erp-write' OR '1'='1", "createVendor"},
		{strings.Repeat("a", 100_000), "createVendor"}, {"erp-write@v1", "createVendor"}, {"secret://default/erp-write-token", "get"},
		{"wide", catalog.ToolName("wide", "readThing")},
	})
}

// otherRoutes calls every route of the API with a Run's token, for what exists
// and for what does not.
func (w *world) otherRoutes(k *worker) {
	other := w.outside("builder", "vendor-onboarding", map[string]any{"name": "Another Ltd", "country": "DE", "tax_id": "DE129274202"})
	it, err := other.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "args": map[string]any{"name": "Another Ltd", "country": "DE"}})
	w.must(err)
	var q struct{ Items []item }
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/decisions?run="+other.run, nil, &q))
	exists := strings.NewReplacer("{run}", other.run, "{intent}", it.ID, "{decision}", q.Items[0].Decision.ID, "{secret}", "erp-write-token",
		"{mission}", "vendor-onboarding", "{account}", w.principal("approver").ID)
	invented := strings.NewReplacer("{run}", "run_x", "{intent}", "int_x", "{decision}", "dec_x", "{secret}", "x", "{mission}", "x", "{account}", "acc_x")

	var doc struct {
		Paths map[string]map[string]struct{ Security []any }
	}
	w.must(k.call("GET", "/v1/openapi.json", nil, &doc))
	type route struct{ method, path string }
	routes := []route{{"GET", "/v1/audit/log/checkpoint"}}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if op.Security != nil {
				routes = append(routes, route{strings.ToUpper(method), path})
			}
		}
	}
	if len(routes) < 30 {
		w.t.Fatalf("the API has only %d routes", len(routes))
	}
	for _, r := range routes {
		var texts []string
		for _, fill := range []*strings.Replacer{exists, invented} {
			p := problemOf(k.call(r.method, fill.Replace(r.path), map[string]any{}, nil))
			if p.Kind != "denied" {
				w.t.Errorf("%s %s with a Run's token: %+v", r.method, r.path, p)
			}
			texts = append(texts, fmt.Sprintf("%+v", p))
		}
		if texts[0] != texts[1] {
			w.t.Errorf("%s %s tells what exists: %q", r.method, r.path, texts)
		}
	}
	// Its own Run it may read, and no more than that.
	for _, path := range []string{"", "/brief", "/intents", "/observations"} {
		w.must(k.call("GET", "/v1/runs/"+k.run+path, nil, nil))
	}
	for _, path := range []string{"/v1/runs/" + k.run + "/intents/" + it.ID, "/v1/runs/" + k.run + "/intents/int_x"} {
		if p := problemOf(k.call("GET", path, nil, nil)); p.Kind != "not_found" || p.Detail != "the Run has no such Intent" {
			w.t.Errorf("another Run's Intent through the own one: %+v", p)
		}
	}
	if p := problemOf(k.call("POST", "/v1/runs/"+k.run+"/stop", nil, nil)); p.Kind != "denied" {
		w.t.Errorf("a Worker stops its Run: %+v", p)
	}
	if got := w.intent(other.run, it.ID); got.State != intent.Parked {
		w.t.Errorf("another Run's Intent is %s", got.State)
	}
}

// wideWorker is a Worker whose system is recorded by the test.
type wideWorker struct {
	*worker
	mu       sync.Mutex
	seen     []*http.Request
	attacked int    // requests to another host
	attacker string // its address
	answer   func(http.ResponseWriter)
}

// wideToken is the credential of the recorded system.
const wideToken = "k7Qw2-9vTzXbR4mLs0JdHfGy"

// wide applies a Mission of its own, to a system whose operations take any text
// in a path, in the query and in a header.
func (w *world) wide() *wideWorker {
	w.t.Helper()
	k := &wideWorker{}
	attacker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { k.mu.Lock(); k.attacked++; k.mu.Unlock() }))
	w.t.Cleanup(attacker.Close)
	k.attacker = strings.TrimPrefix(attacker.URL, "http://")
	target := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.seen = append(k.seen, r)
		if k.answer != nil {
			k.answer(rw)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"ok":true}`)
	}))
	w.t.Cleanup(target.Close)

	doc, err := json.Marshal(map[string]any{
		"openapi": "3.0.3", "info": map[string]any{"title": "Wide", "version": "1"},
		"paths": map[string]any{"/things/{id}": map[string]any{"get": map[string]any{
			"operationId": "readThing", "summary": "Read anything",
			"parameters": []any{
				map[string]any{"name": "id", "in": "path", "required": true, "schema": map[string]any{"type": "string"}},
				map[string]any{"name": "q", "in": "query", "schema": map[string]any{"type": "string"}},
				map[string]any{"name": "X-Note", "in": "header", "schema": map[string]any{"type": "string"}},
			},
			"responses": map[string]any{"200": map[string]any{"description": "ok"}},
		}}},
	})
	w.must(err)
	w.must(w.as("admin").Call(w.t.Context(), "PUT", "/v1/secrets/wide-token", map[string]any{"fields": map[string]string{"token": wideToken}, "anyOrigin": true}, nil))
	head := func(kind resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: kind, Name: name}
	}
	w.apply(
		&resource.Integration{Head: head(resource.KindIntegration, "wide-system"), HTTP: &resource.HTTP{
			BaseURL: target.URL + "/v1", OpenAPI: doc, Network: resource.Network{AllowLoopbackHTTP: true}}},
		&resource.Connection{Head: head(resource.KindConnection, "wide"), Integration: "wide-system", Tools: []string{"readThing"},
			Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "wide-token"}},
		&resource.Mission{Head: head(resource.KindMission, "wide"), Goal: "Read things.", Connections: []string{"wide"}},
	)
	k.worker = w.outside("requester", "wide", nil)
	return k
}

// waysOut puts what leads elsewhere into every argument. What is sent all the
// same has to be a value in its place.
func (w *world) waysOut(k *wideWorker) {
	values := []string{
		"../admin", "..", ".", "%2e%2e", "%2e%2e%2fadmin", "..%2fadmin", "..%252fadmin", `..\admin`, "a/../../admin", "a/b", "/etc/passwd", "//" + k.attacker,
		"http://" + k.attacker + "/", "@" + k.attacker, "a?admin=1", "a#b", "a;b", "a\r\nHost: " + k.attacker, "a\r\nAuthorization: Bearer x", "a\nX: y",
		"\x00", "a%0d%0aX: y", "\u2025/admin", "a\u0000b", "..;/admin", "%", "%zz", "", " ", "http:" + k.attacker, "a&q=2", "169.254.169.254",
	}
	sent, refused := 0, 0
	for _, v := range values {
		for _, args := range []map[string]any{{"id": v}, {"id": "x", "q": v}, {"id": "x", "X-Note": v}} {
			switch k.tryArgs(args) {
			case true:
				sent++
			case false:
				refused++
			}
		}
	}
	for _, args := range []map[string]any{
		{"id": "x", "host": k.attacker}, {"id": "x", "url": "http://" + k.attacker}, {"id": "x", "Authorization": "Bearer x"}, {"id": "x", "headers": map[string]any{"Host": "x"}},
		{"id": "x", "baseURL": "http://" + k.attacker}, {"id": "x", "body": map[string]any{}}, {"id": []string{"..", "admin"}}, {"id": map[string]any{"a": "b"}}, {"q": "x"}, {"ID": "x"},
	} {
		if k.tryArgs(args) {
			k.t.Errorf("%v was sent", args)
		}
		refused++
	}
	if sent < 30 || refused < 20 {
		k.t.Errorf("%d were sent and %d refused: the attack is not what it was meant to be", sent, refused)
	}
	if n := count(k.trail("run="+k.run), "intent.denied"); n != refused {
		k.t.Errorf("the audit log has %d denials of %d", n, refused)
	}
	k.redirects()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attacked != 0 {
		k.t.Errorf("the other host was reached %d times", k.attacked)
	}
}

// tryArgs says whether they were sent, and checks what the system saw.
func (k *wideWorker) tryArgs(args map[string]any) (sent bool) {
	k.t.Helper()
	it, err := k.propose(map[string]any{"connection": "wide", "tool": "readThing", "args": args})
	seen := k.take()
	if err != nil {
		if p := problemOf(err); p.Kind != "invalid" || len(seen) != 0 {
			k.t.Errorf("%q: %v, and the system saw %d requests", args, err, len(seen))
		}
		return false
	}
	if len(seen) != 1 || it.State != intent.Committed {
		k.t.Errorf("%q is %s, and the system saw %d requests", args, it.State, len(seen))
		return true
	}
	r := seen[0]
	id := strings.TrimPrefix(r.URL.Path, "/v1/things/")
	if strings.Count(r.URL.EscapedPath(), "/") != 3 || id != args["id"] || r.Host == k.attacker || r.Method != "GET" {
		k.t.Errorf("%q became %s %s at %s", args, r.Method, r.URL, r.Host)
	}
	q, _ := args["q"].(string)
	if got := r.URL.Query(); len(got) > 1 || got.Get("q") != q {
		k.t.Errorf("%q became the query %q", args, r.URL.RawQuery)
	}
	note, _ := args["X-Note"].(string)
	if r.Header.Get("X-Note") != note || !slices.Equal(r.Header.Values("Authorization"), []string{"Bearer " + wideToken}) {
		k.t.Errorf("%q became the header %q", args, r.Header)
	}
	for name := range r.Header {
		if !slices.Contains([]string{"Accept", "Accept-Encoding", "Authorization", "User-Agent", "X-Note"}, name) {
			k.t.Errorf("%q brought a header %s", args, name)
		}
	}
	return true
}

// take gives the requests that the system saw since the last time.
func (k *wideWorker) take() []*http.Request {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := k.seen
	k.seen = nil
	return seen
}

func (k *wideWorker) answers(with func(http.ResponseWriter)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = with
}

// redirects has the system itself send the credential elsewhere.
func (k *wideWorker) redirects() {
	defer k.answers(nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"http://" + k.attacker + "/", "//" + k.attacker + "/", "/v1/elsewhere"} {
			k.answers(func(rw http.ResponseWriter) {
				rw.Header().Set("Location", location)
				rw.WriteHeader(status)
			})
			it, err := k.propose(map[string]any{"connection": "wide", "tool": "readThing", "args": map[string]any{"id": "x"}})
			if seen := k.take(); err != nil || it.State != intent.Failed || len(seen) != 1 {
				k.t.Errorf("%d to %s: %v, %s, %d requests", status, location, err, it.State, len(seen))
			}
		}
	}
}

// TestAModelThatWandersGetsDenialsAndThenGoesOn is the built-in Worker with a
// model that was talked into asking for more.
func TestAModelThatWandersGetsDenialsAndThenGoesOn(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *demo.Config) { c.SystemArgs = map[string][]string{company.ScriptedModel: {"-wander"}} })
	run := w.run("onboarded")
	it := w.waiting(run)
	want := map[string]int{"payroll/listSalaries": 1, "erp-write/findVendors": 1, "erp-read/createVendor": 1, "tax-check/verifyTaxId": 2, "http/fetch": 1, "vault/readSecret": 1}
	got := map[string]int{}
	for _, e := range w.trail("type=intent.denied&run=" + run) {
		got[e.Connection+"/"+e.Tool]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the audit log has the denials %v, not %v", got, want)
	}
	if s := w.requests(); s["taxverify"] != 1 || s["erp"] != 1 || s["ticketing"] != 0 {
		t.Errorf("before the approval the systems have seen %v requests: one verification and one search were allowed", s)
	}
	if rail := w.rail(run); strings.Count(rail, "was refused") != 7 {
		t.Errorf("the rail does not show the refusals:\n%s", rail)
	}
	w.must(w.decide("approver", it, "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
	}
}
