package demo_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/intent"
)

// TestKilledAtEveryStep kills the server with SIGKILL at each step of the write
// to the ERP, starts it again, and expects the Run to go on and the ERP to count
// exactly one vendor.
func TestKilledAtEveryStep(t *testing.T) {
	for _, at := range commit.Points {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := launch(t, dir, at)
			run := p.begin()
			p.approveNext(run)
			p.died()
			finish(t, dir, run)
		})
	}
}

// TestKilledWhileTheERPHasWrittenAndNotAnswered is the worst moment: the vendor
// exists, and only the ERP knows.
func TestKilledWhileTheERPHasWrittenAndNotAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, dir, "")
	post(t, p.Control["erp"], "/behaviour", `{"mode":"slow-commit","method":"POST"}`)
	run := p.begin()
	p.approveNext(run)
	get(t, p.Control["erp"], "/held?at_least=1")
	p.kill()
	intents := finish(t, dir, run)
	n := 0
	for _, it := range intents {
		if it.Connection == "erp-write" {
			n++
			if it.State != intent.Committed || !strings.Contains(it.Result.Note, "asked") {
				t.Errorf("the write is %s: %+v", it.State, it.Result)
			}
		}
	}
	if n != 1 {
		t.Errorf("there are %d writes to the ERP, and one was asked about", n)
	}
}

// TestKilledWhileItWaits kills the server while the action is parked, twice.
func TestKilledWhileItWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, dir, "")
	run := p.begin()
	for range 500 {
		var q struct{ Items []item }
		p.must(p.call("approver", "GET", "/v1/decisions?run="+run, nil, &q))
		if len(q.Items) > 0 {
			break
		}
	}
	p.kill()
	p = launch(t, dir, "")
	p.kill()
	finish(t, dir, run)
}

// finish starts the server again, approves whatever waits until the Run ends,
// and checks what came of it.
func finish(t *testing.T, dir, run string) []intent.Intent {
	t.Helper()
	p := launch(t, dir, "")
	for p.approveNext(run) {
	}
	r := p.show(run)
	var s system.Stats
	if err := json.Unmarshal(get(t, p.Control["erp"], "/stats"), &s); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != "onboarded" || s.Durable["vendors_created"] != 1 {
		t.Errorf("the verdict is %q (%s), and the ERP counts %d vendors\n%s", r.Verdict, r.Summary, s.Durable["vendors_created"], p.stderr)
	}
	var out struct{ Intents []intent.Intent }
	p.must(p.call("approver", "GET", "/v1/runs/"+run+"/intents", nil, &out))
	account(t, out.Intents, s.Durable["vendors_created"])
	p.verify()
	p.stop()
	return out.Intents
}

// account says what a Run came to in one line, which scripts/chaos.sh adds up: an
// Intent that is still open is lost, and one that was unknown has to say how it was
// found out.
func account(t *testing.T, intents []intent.Intent, vendors int) {
	t.Helper()
	lost, unknown, explained := 0, 0, 0
	for _, it := range intents {
		if it.State.Open() {
			lost++
			t.Errorf("%s is left as %s", it.ID, it.State)
		}
		if it.Result != nil && strings.Contains(it.Result.Note, "unknown for a while") || it.State == intent.NotApplied {
			unknown++
			if it.Why != "" {
				explained++
			}
		}
	}
	if unknown != explained {
		t.Errorf("%d outcomes were unknown, and %d are explained", unknown, explained)
	}
	t.Logf("chaos: runs=1 double=%d lost=%d unknown=%d explained=%d", max(vendors-1, 0), lost, unknown, explained)
}

func get(t *testing.T, addr, path string) []byte {
	t.Helper()
	return roundTrip(t, "GET", addr, path, "")
}

func post(t *testing.T, addr, path, body string) {
	t.Helper()
	roundTrip(t, "POST", addr, path, body)
}

func roundTrip(t *testing.T, method, addr, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %v", method, path, resp.Status, err)
	}
	return []byte(b.String())
}

// TestKilledAtRandomMoments kills the server again and again, at moments that
// nobody chose, while a person approves what waits. The ERP counts one vendor.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, dir, "")
	run := p.begin()
	for range 4 {
		moment := time.Duration(rand.IntN(1500)) * time.Millisecond
		t.Logf("killed after %v", moment)
		alive, kill := context.WithTimeout(t.Context(), moment)
		p.tryToApprove(alive, run)
		<-alive.Done()
		kill()
		p.kill()
		p = launch(t, dir, "")
	}
	p.kill()
	finish(t, dir, run)
}

// tryToApprove approves what waits as long as ctx lasts. Whatever goes wrong is
// the end of it: the server may be dead.
func (p *process) tryToApprove(ctx context.Context, run string) {
	c, err := client.New(p.URL)
	p.must(err)
	var s struct{ Token string }
	if c.Call(ctx, "POST", "/v1/sessions", map[string]any{"name": "approver", "password": p.people["approver"].Password, "code": p.code("approver")}, &s) != nil {
		return
	}
	c, err = client.New(p.URL, client.Token(s.Token))
	p.must(err)
	for pause(ctx, 10*time.Millisecond) == nil {
		var q struct{ Items []item }
		if c.Call(ctx, "GET", "/v1/decisions?run="+run, nil, &q) != nil {
			return
		}
		if len(q.Items) > 0 {
			_ = c.Call(ctx, "POST", "/v1/decisions/"+q.Items[0].Decision.ID, map[string]any{"verdict": "approve",
				"digest": q.Items[0].Decision.Digest, "password": p.people["approver"].Password, "code": p.code("approver")}, nil)
			return
		}
	}
}
