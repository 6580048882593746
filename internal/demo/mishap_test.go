package demo_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// processes knows how each system was started, so that a test can kill one and
// start it again where it was.
type processes struct {
	mu   sync.Mutex
	cmds map[string]*exec.Cmd
	args map[string][]string
}

func (p *processes) command(ctx context.Context, name string, args []string) (*exec.Cmd, error) {
	cmd, err := command(ctx, name, args)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmds[name], p.args[name] = cmd, args
	return cmd, err
}

// fragile starts a world whose systems can be killed, and in which a call to a
// system may take a second and no longer.
func fragile(t *testing.T, args map[string][]string) (*world, *processes) {
	t.Helper()
	p := &processes{cmds: map[string]*exec.Cmd{}, args: map[string][]string{}}
	w := start(t, func(c *demo.Config) { c.Command, c.SystemArgs = p.command, args })
	for _, name := range []string{"taxverify", "erp", "ticketing"} {
		w.edit(resource.KindIntegration, name, func(r resource.Resource) {
			r.(*resource.Integration).HTTP.Timeout = resource.Duration(time.Second)
		})
	}
	return w, p
}

// in is the same world in a sub-test.
func (w *world) in(t *testing.T) *world {
	c := *w
	c.t = t
	return &c
}

// kill ends a system as a crash would.
func (w *world) kill(p *processes, name string) {
	w.t.Helper()
	w.must(p.cmds[name].Process.Kill())
	w.eventually("the port is free", func() bool { return !answers(w.t, w.Systems[name].Addr) })
}

func answers(t *testing.T, addr string) bool {
	resp, err := getOnce(t, "http://"+addr+"/openapi.json")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// revive starts a killed system again, on the same port with the same data.
func (w *world) revive(p *processes, name string) {
	w.t.Helper()
	args := slices.Clone(p.args[name])
	args[slices.Index(args, "-addr")+1] = w.Systems[name].Addr
	cmd, err := command(w.t.Context(), name, args)
	w.must(err)
	stdin, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() }) // it ends when its input does
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		w.t.Fatal(err)
	}
	var ready struct{ Addr, Control string }
	w.must(json.Unmarshal(line, &ready))
	w.Systems[name].Control = ready.Control
}

// edit changes one applied resource.
func (w *world) edit(kind resource.Kind, name string, change func(resource.Resource)) {
	w.t.Helper()
	world, err := w.App.World(demo.Tenant)
	w.must(err)
	for _, r := range world.Catalog.Resources() {
		if h := r.Header(); h.Kind != kind || h.Name != name {
			continue
		}
		b, err := json.Marshal(r)
		w.must(err)
		c := resource.New(kind)
		w.must(json.Unmarshal(b, c))
		change(c)
		_, err = w.App.Apply(w.t.Context(), ident.Principal{Tenant: demo.Tenant, Kind: ident.System, ID: "test"}, []resource.Resource{c}, false, false)
		w.must(err)
		return
	}
	w.t.Fatalf("there is no %s %s", kind, name)
}

// begins starts a Run of a Mission with a supplier that nothing is wrong with,
// another one for each n.
func (w *world) begins(mission string, n int) string {
	w.t.Helper()
	all, err := company.Suppliers()
	w.must(err)
	for _, s := range all {
		if s.Expect != "onboarded" {
			continue
		}
		if n > 0 {
			n--
			continue
		}
		var out struct{ Run intent.Run }
		w.must(w.as("requester").Call(w.t.Context(), "POST", "/v1/missions/"+mission+"/runs", map[string]any{"input": s.Input()}, &out))
		return out.Run.ID
	}
	w.t.Fatal("there are not so many sample suppliers")
	return ""
}

// observed waits for an Observation of a kind on the rail with all of the texts.
func (w *world) observed(run string, kind explain.Kind, texts ...string) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		for _, o := range w.observations(run) {
			said := o.Title + " | " + o.Text
			if o.Kind == kind && !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(said, s) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the rail has no %s with %q:\n%s", kind, texts, w.rail(run))
		}
		w.must(pause(w.t.Context(), 20*time.Millisecond))
	}
}

// theWrite is the Run's latest Intent to the ERP's write credential.
func (w *world) theWrite(run string) (last intent.Intent) {
	w.t.Helper()
	for _, it := range w.intents(run) {
		if it.Connection == "erp-write" {
			last = it
		}
	}
	return last
}

// becomes waits for the state of the Run's latest write, and moves the clock on
// meanwhile: what waits for the system to settle need not be waited for.
func (w *world) becomes(run string, state intent.State) intent.Intent {
	w.t.Helper()
	var it intent.Intent
	w.eventually("the write is "+string(state), func() bool {
		it = w.theWrite(run)
		w.clock.advance(time.Second)
		return it.State == state
	})
	return it
}

// clean checks, at the end, that the log verifies and that no credential of the
// company is on a rail or in the server's log.
func (w *world) clean(runs ...string) {
	w.t.Helper()
	keys, err := company.ReadKeys(filepath.Join(w.dir, "company"))
	w.must(err)
	shown := w.logs.String()
	for _, r := range runs {
		shown += w.rail(r)
		b, err := json.Marshal(w.intents(r))
		w.must(err)
		shown += string(b)
	}
	for name, fields := range keys.Secrets() {
		for field, v := range fields {
			if field == "username" {
				continue // basic authentication's user name is in nobody's way
			}
			for _, form := range []string{v, base64.StdEncoding.EncodeToString([]byte(v)), hex.EncodeToString([]byte(v)), url.QueryEscape(v)} {
				if strings.Contains(shown, form) {
					w.t.Errorf("the %s of %s can be read", field, name)
				}
			}
		}
	}
	src, err := sqlite.OpenAudit(w.t.Context(), demo.ServerDir(w.dir))
	w.must(err)
	defer src.Close()
	rep, err := audit.Verify(w.t.Context(), src, audit.VerifyOptions{})
	w.must(err)
	if !rep.OK() {
		w.t.Errorf("the audit log does not verify: %v", rep.Findings())
	}
}
