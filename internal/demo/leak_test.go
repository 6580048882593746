package demo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/sqlite"
)

func (w *world) values() map[string]string {
	v, _ := credentials(w)
	return v
}

// provesTheSearch is the positive control: a system that is asked past the
// Boundary does repeat what it received, and the search finds it.
func (w *world) provesTheSearch() {
	values := w.values()
	w.behave("erp", system.Behaviour{Mode: system.Echo})
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://"+w.Systems["erp"].Addr+"/v1/vendors?name=x", nil)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+values["erp-read-token"])
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	w.must(err)
	x := leaktest.NewIndex(known("erp-read-token", values["erp-read-token"]))
	if len(x.Search(body)) == 0 {
		w.t.Errorf("the echo, or the search, lacks the secret: %.300q", body)
	}
}

// TestNoSecretLeavesTheBoundary has every system repeat all that it received, in
// every encoding, for whole Runs, and searches all that came out for every
// credential.
func TestNoSecretLeavesTheBoundary(t *testing.T) {
	t.Parallel()
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	record := filepath.Join(t.TempDir(), "model-requests")
	w := start(t, func(c *demo.Config) {
		c.LogHandler = slog.NewTextHandler(s.at("logs"), &slog.HandlerOptions{Level: slog.LevelDebug})
		c.SystemArgs = map[string][]string{company.ScriptedModel: {"-record", record}}
	})
	w.provesTheSearch()
	values, wanted := credentials(w)
	var runs []string
	onboard := func(mode system.Mode) intent.Run {
		for _, name := range []string{"taxverify", "erp", "ticketing"} {
			w.behave(name, system.Behaviour{Mode: mode})
		}
		// A model's echo would repeat the echoes before it: once is enough.
		w.behave(company.ScriptedModel, system.Behaviour{Mode: mode, Times: 1})
		run := w.run("onboarded")
		runs = append(runs, run)
		if mode == system.Echo {
			w.must(w.decide("approver", w.waiting(run), "approve"))
		}
		return w.ended(run)
	}
	if r := onboard(system.Echo); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
	}
	w.echoed(runs[0])
	onboard(system.EchoError)
	for _, name := range company.Names {
		w.behave(name, system.Behaviour{})
	}
	w.typedByPeople(s, values)
	runs = append(runs, w.sentByAWorker(s, values)...)
	w.crawl(s, runs)
	for _, file := range []string{sqlite.File, "engine.db"} {
		s.rows(t, filepath.Join(demo.ServerDir(w.dir), file))
	}
	server := func(rel string) bool { return strings.HasPrefix(rel, "server") }
	s.files(t, w.dir, server) // with what is in the WAL now
	w.ownCredentials(values)
	for name, token := range w.tokens {
		wanted = append(wanted, known("the session of "+name, token), known("the password of "+name, w.People[name].Password))
	}
	w.must(w.App.Stop(context.WithoutCancel(t.Context())))
	w.App = nil
	s.files(t, w.dir, func(rel string) bool {
		return server(rel) || strings.HasPrefix(rel, "company") && !strings.HasSuffix(rel, ".credentials.json")
	})
	seen, err := os.ReadFile(record)
	w.must(err)
	_, _ = s.at("what the model received").Write(seen)
	s.clean(t, wanted, "logs", "answers of the API", "what the model received", "file server/"+sqlite.File, "file server/"+sqlite.File+"-wal",
		"file server/engine.db", "table "+sqlite.File+" observation", "table "+sqlite.File+" audit_entry", "table "+sqlite.File+" transcript", "table "+sqlite.File+" factor", "table "+sqlite.File+" outbox", "file company/erp/vendors.jsonl")
}

// echoed says that the systems did echo: where the credential was, its mark is.
func (w *world) echoed(run string) {
	w.t.Helper()
	marked := map[string]bool{}
	for _, it := range w.intents(run) {
		if it.Result != nil {
			marked[it.Connection] = marked[it.Connection] || bytes.Contains(it.Result.Body, []byte("[secret:"+owns[it.Connection]+"]"))
		}
	}
	for connection := range owns {
		if !marked[connection] {
			w.t.Errorf("nothing was redacted in what came through %s: %v", connection, marked)
		}
	}
}

// owns is the Secret of each Connection.
var owns = map[string]string{"tax-check": "taxverify-key", "erp-read": "erp-read-token", "erp-write": "erp-write-token", "tickets": "ticketing-login", "model": "model-key"}

// ownCredentials says that each system did receive its own.
func (w *world) ownCredentials(values map[string]string) {
	w.t.Helper()
	for sys, names := range map[string][]string{"taxverify": {"taxverify-key"}, "erp": {"erp-read-token", "erp-write-token"}, "ticketing": {"ticketing-login"}, "scriptedmodel": {"model-key"}} {
		counted := w.stats(sys)
		if counted.Unauthorized != 0 || len(counted.Credentials) != len(names) {
			w.t.Errorf("%s counts %+v", sys, counted)
		}
		for _, name := range names {
			sum := sha256.Sum256([]byte(values[name]))
			if c := counted.Credentials[name]; c.Requests == 0 || !slices.Equal(c.SHA256, []string{hex.EncodeToString(sum[:])}) {
				w.t.Errorf("%s counts of %s: %+v", sys, name, c)
			}
		}
	}
}

// typedByPeople has people put a credential where texts go.
func (w *world) typedByPeople(s *sinks, values map[string]string) {
	secret := values["ticketing-login"][strings.Index(values["ticketing-login"], ":")+1:]
	started := len(w.runs())
	for _, in := range []map[string]any{
		{"input": map[string]any{"name": "Acme " + secret, "country": "DE", "tax_id": "DE129274202"}},
		{"input": map[string]any{"name": base64.StdEncoding.EncodeToString([]byte(secret)), "country": "DE", "tax_id": "DE129274202"}},
		{"input": map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202", secret: "x"}},
		{"input": map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"}, "outside": true, "key": secret},
	} {
		w.as("requester")
		err := w.sniff(s, w.tokens["requester"]).Call(w.t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", in, nil)
		if k := problemOf(err).Kind; k != "denied" && k != "invalid" {
			w.t.Errorf("a Run that is started with a known secret: %v", err)
		}
	}
	if n := len(w.runs()); n != started {
		w.t.Errorf("%d Runs were started", n-started)
	}
	run := w.another()
	it := w.waiting(run)
	w.must(w.as("approver").Call(w.t.Context(), "POST", "/v1/decisions/"+it.Decision.ID, map[string]any{"verdict": "reject", "digest": it.Decision.Digest,
		"reason": "the password is " + secret, "password": w.People["approver"].Password, "code": w.code("approver")}, nil))
	if r := w.ended(run); !strings.Contains(r.Summary, "[secret:ticketing-login]") {
		w.t.Errorf("the rejection's reason came as %q", r.Summary)
	}
	for who, call := range map[string]struct {
		method, path string
		in           any
	}{
		"requester": {"GET", "/v1/runs/" + secret, nil},
		"admin":     {"PUT", "/v1/secrets/another", map[string]any{"fields": map[string]string{"token": "aLongEnough-Value-9"}, "anyOrigin": true, "description": "like " + secret}},
		"builder": {"POST", "/v1/resources", map[string]any{"resources": []any{map[string]any{"apiVersion": "sallyport.dev/v1", "kind": "Mission", "name": "leaky",
			"goal": "Sign in with " + secret, "connections": []string{"erp-read"}}}}},
	} {
		w.as(who)
		if err := w.sniff(s, w.tokens[who]).Call(w.t.Context(), call.method, call.path, call.in, nil); err == nil {
			w.t.Errorf("%s %s took a known secret", call.method, call.path)
		}
	}
}

// another starts a Run of a supplier that the ERP has not.
func (w *world) another() string {
	w.t.Helper()
	all, err := company.Suppliers()
	w.must(err)
	slices.Reverse(all)
	i := slices.IndexFunc(all, func(s company.Supplier) bool { return s.Expect == "onboarded" })
	var out struct{ Run intent.Run }
	w.must(w.as("requester").Call(w.t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"input": all[i].Input()}, &out))
	return out.Run.ID
}

func (w *world) runs() []intent.Run {
	w.t.Helper()
	var out struct{ Runs []intent.Run }
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs?limit=500", nil, &out))
	return out.Runs
}

// sentByAWorker has Workers outside send what they must not know: it is
// stopped, counted, and the third time ends the Run.
func (w *world) sentByAWorker(s *sinks, values map[string]string) (runs []string) {
	w.t.Helper()
	before := w.requests()
	secret := values["erp-write-token"]
	draft := func(name string) map[string]any { return map[string]any{"name": name, "country": "DE"} }
	for _, proposals := range [][]map[string]any{
		{
			{"connection": "erp-write", "tool": "createVendor", "args": draft("Acme " + secret)},
			{"connection": "erp-read", "tool": "findVendors", "args": map[string]any{"name": hex.EncodeToString([]byte(values["taxverify-key"]))}},
			{"connection": "erp-write", "tool": "createVendor", "args": draft("Acme"), "reason": "since the token is " + base64.URLEncoding.EncodeToString([]byte("Bearer "+secret))},
		}, {
			{"connection": "erp-write", "tool": "createVendor", "args": draft("Acme"), "key": secret},
			{"connection": secret, "tool": "createVendor", "args": draft("Acme")},
			{"connection": "erp-write", "tool": strings.ToLower(values["model-key"]), "args": map[string]any{}},
		},
	} {
		k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"})
		runs = append(runs, k.run)
		c := w.sniff(s, k.token)
		var texts []string
		for i, p := range proposals {
			err := c.Call(w.t.Context(), "POST", "/v1/runs/"+k.run+"/intents", p, nil)
			if problemOf(err).Kind != "denied" {
				w.t.Errorf("a proposal with a known secret: %v", err)
			}
			if i < 2 {
				texts = append(texts, fmt.Sprint(problemOf(err)))
			}
		}
		if texts[0] != texts[1] {
			w.t.Errorf("the refusal tells which secret it was: %q", texts)
		}
		var r intent.Run
		w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+k.run, nil, &r))
		if r.State != intent.RunEnded || r.Verdict != "stopped" || r.Incidents != 3 {
			w.t.Errorf("after three the Run is %+v", r)
		}
		if n := count(w.trail("run="+k.run), "worker.incident"); n != 3 {
			w.t.Errorf("the audit log has %d incidents", n)
		}
		if err := c.Call(w.t.Context(), "POST", "/v1/runs/"+k.run+"/intents", map[string]any{"connection": "erp-read", "tool": "findVendors", "args": map[string]any{"name": "x"}}, nil); err == nil {
			w.t.Error("a Run that was stopped goes on")
		}
	}
	ends := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"})
	// What a Worker says of itself is stopped in the same way, not marked: it must
	// not find out whether a guess is right.
	for path, body := range map[string]map[string]any{
		"/observations": {"kind": explain.Inference, "title": "I know " + secret, "text": "it is " + secret},
		"/end":          {"verdict": secret, "summary": "it was " + secret},
	} {
		if err := ends.call("POST", "/v1/runs/"+ends.run+path, body, nil); problemOf(err).Kind != "denied" {
			w.t.Errorf("%s with a known secret: %v", path, err)
		}
	}
	w.must(ends.call("POST", "/v1/runs/"+ends.run+"/end", map[string]any{"verdict": "done"}, nil))
	for name, n := range w.requests() {
		if n != before[name] {
			w.t.Errorf("%s has seen %d requests of it", name, n-before[name])
		}
	}
	return append(runs, ends.run)
}

// TestAProcessPrintsNoSecret is the server as a process: what it and the systems
// write to their standard streams.
func TestAProcessPrintsNoSecret(t *testing.T) {
	t.Parallel()
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	w := &world{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	w.must(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envServer+"=1", envDir+"="+w.dir, envKill+"=")
	out := s.at("stdout")
	cmd.Stdout, cmd.Stderr = out, s.at("stderr")
	stdin, err := cmd.StdinPipe()
	w.must(err)
	w.must(cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p := &process{t: t, dir: w.dir, cmd: cmd, stdin: stdin, stderr: &strings.Builder{}, used: map[string]time.Time{}, tokens: map[string]string{}}
	w.eventually("the server is ready", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.seen["stdout"] != nil && json.Unmarshal(s.seen["stdout"].Bytes(), &p.ready) == nil
	})
	p.people, err = demo.ReadPeople(w.dir)
	w.must(err)
	values, wanted := credentials(w)
	post(t, p.Control["taxverify"], "/behaviour", `{"mode":"echo"}`)
	post(t, p.Control["erp"], "/behaviour", `{"mode":"echo-error"}`)
	post(t, p.Control["scriptedmodel"], "/behaviour", `{"mode":"echo-error","times":1}`)
	run := p.begin()
	w.eventually("the Run ends", func() bool {
		var r intent.Run
		p.must(p.call("requester", "GET", "/v1/runs/"+run, nil, &r))
		return r.State == intent.RunEnded
	})
	_ = p.call("requester", "GET", "/v1/runs/"+values["erp-write-token"], nil, nil)
	_ = p.call("requester", "POST", "/v1/missions/"+values["erp-write-token"]+"/runs", map[string]any{"input": values["erp-write-token"]}, nil)
	p.logged(w, values["erp-write-token"])
	p.stop()
	if !bytes.Contains(s.seen["stderr"].Bytes(), []byte("[secret:erp-write-token]")) {
		t.Errorf("the log has no place where a secret was taken out: %s", s.seen["stderr"])
	}
	for name, person := range p.people {
		wanted = append(wanted, known("the password of "+name, person.Password))
	}
	s.clean(t, wanted, "stdout", "stderr")
}

// logged has the server log a secret: the key of a row that somebody without the
// vault's keys has put in.
func (p *process) logged(w *world, secret string) {
	p.t.Helper()
	var out struct {
		Run   intent.Run
		Token string
	}
	p.must(p.call("requester", "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"outside": true,
		"input": map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"}}, &out))
	c, err := client.New(p.URL, client.Token(out.Token))
	p.must(err)
	var it intent.Intent
	p.must(c.Call(p.t.Context(), "POST", "/v1/runs/"+out.Run.ID+"/intents", map[string]any{"connection": "erp-write", "tool": "createVendor",
		"args": map[string]any{"name": "Acme", "country": "DE"}}, &it))
	w.spoil(1, `UPDATE decision SET id = $1 WHERE intent = $2`, secret, it.ID)
	if got := problemOf(p.call("approver", "GET", "/v1/decisions/"+secret, nil, nil)); got.Kind != "denied" {
		p.t.Errorf("a row that somebody else put in: %+v", got)
	}
}
