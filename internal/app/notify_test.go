package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: what waits is put there by the store, and the loops are run
// until something has happened.

// What no message may have.
const (
	hookKey    = "whsec_Y25yeS05ZjI3S3EwWnhXNHY4MS1vbmUtMTIzNDU2"
	slackPath  = "/services/T0CNRY4/B0CNRY5/cnry9f27Kq0ZxW4v81one"
	mailSecret = "cnry-4d81Lm5YpT7d46-mail"
	argument   = "cnry-DE89370400440532013000-iban"
	reason     = "the supplier Halvorsen has a new account"
)

// tower is a program with Channels, without its other loops.
type tower struct {
	*App
	t     *testing.T
	clock atomic.Int64
	log   safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newTower(t *testing.T, dir string, roots *x509.CertPool, sent func(notify.Notice)) *tower {
	t.Helper()
	w := &tower{t: t}
	w.clock.Store(time.Now().UnixMilli())
	var err error
	w.App, err = New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.NewTextHandler(&w.log, nil), PublicURL: "https://sallyport.example.com/",
		Now: w.now, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}, RootCAs: roots, Sent: sent})
	w.must(err)
	t.Cleanup(func() { w.must(w.Stop(context.WithoutCancel(t.Context()))) })
	w.must(w.Vault.Unseal(t.Context(), w.store, w.cfg.Seals...))
	w.must(w.loadWorlds(t.Context()))
	return w
}

func (w *tower) now() time.Time            { return time.UnixMilli(w.clock.Load()) }
func (w *tower) later(d time.Duration)     { w.clock.Add(d.Milliseconds()) }
func (w *tower) lane(c string) notify.Lane { return notify.Lane{Tenant: "acme", Channel: c} }

func (w *tower) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

var setter = ident.Principal{Tenant: "acme", Kind: ident.System, ID: "test"}

func headOf(k resource.Kind, name string) resource.Head {
	return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
}

// channels applies a Team, a Mission and Channels, with their Secrets.
func (w *tower) channels(secrets map[string]string, list ...*resource.Channel) {
	w.t.Helper()
	for name, value := range secrets {
		_, err := w.Vault.Set(w.t.Context(), vault.Write{Tenant: "acme", Name: name, AnyOrigin: true, Actor: setter, Fields: map[string][]byte{"token": []byte(value)}})
		w.must(err)
	}
	for _, name := range []string{"fay", "ann", "leo"} {
		_, _, err := w.Directory.CreateAccount(w.t.Context(), setter, identity.NewAccount{Tenant: "acme", Name: name, Roles: []ident.Role{ident.Approver}, Password: adminPassword}, w.now())
		if !fault.Is(err, fault.Conflict) { // applied before
			w.must(err)
		}
	}
	rs := []resource.Resource{
		&resource.Team{Head: headOf(resource.KindTeam, "finance"), Members: []string{"fay", "ann"}},
		&resource.Team{Head: headOf(resource.KindTeam, "legal"), Members: []string{"leo"}},
		&resource.Integration{Head: headOf(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"ERP","version":"1"},"paths":{"/v":{"post":{"operationId":"pay","responses":{"200":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: headOf(resource.KindConnection, "erp-write"), Integration: "erp", Tools: []string{"pay"}, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp"}},
		&resource.Mission{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindMission, Name: "pay", Title: "Pay <invoices> & more"}, Goal: "pay", Connections: []string{"erp-write"}},
	}
	for _, c := range list {
		c.Head = headOf(resource.KindChannel, c.Name)
		rs = append(rs, c)
	}
	_, err := w.Apply(w.t.Context(), setter, rs, true, false)
	w.must(err)
}

// park leaves an Intent that waits for a Team, as the gate would, and gives its
// Decision.
func (w *tower) park(team string) decision.Decision {
	w.t.Helper()
	run, id := ident.New("run"), ident.New("int")
	_, err := w.store.CreateRun(w.t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: run, Mission: "pay", Starter: "person:acc_1",
		Worker: intent.Outside, Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: w.now()}})
	w.must(err)
	d := decision.Decision{Tenant: "acme", ID: ident.New("dec"), Intent: id, Revision: 1, Run: run, Mission: "pay", Digest: intent.SHA256([]byte(id)), Needs: []decision.Need{{Team: team, Count: 1}},
		State: decision.Open, CreatedAt: w.now(), ExpiresAt: w.now().Add(72 * time.Hour)}
	_, _, err = w.store.Propose(w.t.Context(), gate.Proposed{Own: true, ArgsDigest: intent.Digest(id), Decision: &d, Intent: intent.Intent{Tenant: "acme", ID: id, Revision: 1,
		Run: run, Mission: "pay", Connection: "erp-write", Tool: "pay", Effect: resource.Write, State: intent.Parked, Digest: d.Digest,
		Args: json.RawMessage(`{"iban":"` + argument + `"}`), Reason: reason, CreatedAt: w.now()}})
	w.must(err)
	return d
}

// expire ends a Decision as the sweeper does.
func (w *tower) expire(d decision.Decision) {
	w.t.Helper()
	d.State, d.DecidedAt = decision.Expired, w.now()
	w.must(w.store.Settle(w.t.Context(), decision.Settlement{Decision: d, To: intent.Expired, At: w.now(), Title: "expired", Events: []audit.Event{{
		Type: audit.IntentDecided, Tenant: "acme", At: w.now(), Actor: "system:test", Run: d.Run, Intent: d.Intent, Fields: map[string]any{"decision": d.ID}}}}))
}

// until runs the Notifier until something holds.
func (w *tower) until(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	wg.Go(func() { w.Notifier.Run(ctx) })
	for !holds() {
		if ctx.Err() != nil {
			w.t.Fatalf("it never came to this: %s\n%s", what, w.log.String())
		}
		runtime.Gosched()
	}
}

// done runs it until nothing of the Channels is due and unsent.
func (w *tower) done(channels ...string) {
	w.t.Helper()
	w.until("nothing is due", func() bool {
		n := 0
		for _, c := range channels {
			n += w.waiting(c)
		}
		return n == 0
	})
}

func (w *tower) waiting(channel string) int {
	w.t.Helper()
	n, err := w.store.WaitingNotices(w.t.Context(), w.lane(channel), w.now())
	w.must(err)
	return n
}

func (w *tower) state(channel string) notify.State {
	w.t.Helper()
	st, err := w.store.ChannelState(w.t.Context(), w.lane(channel))
	w.must(err)
	return st
}

// entries counts a type in the audit log, and gives all of them as text.
func (w *tower) entries(typ audit.Type) (n int, text string) {
	w.t.Helper()
	rows, err := w.store.Audit().List(w.t.Context(), "acme", audit.Filter{Type: typ}, 0, 1000)
	w.must(err)
	for _, r := range rows {
		text += string(r.Entry) + "\n"
	}
	return len(rows), text
}

// hook is a receiver of webhooks that behaves as answer says.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(http.ResponseWriter, int)
}

type received struct {
	header http.Header
	path   string
	body   string
}

func newHook(t *testing.T, answer func(w http.ResponseWriter, nth int)) *hook {
	t.Helper()
	h := &hook{answer: answer}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.got = append(h.got, received{r.Header, r.URL.String(), string(b)})
		n := len(h.got)
		h.mu.Unlock()
		if h.answer != nil {
			h.answer(w, n)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) all() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received(nil), h.got...)
}

// ids are the different messages among what arrived.
func (h *hook) ids() map[string]bool {
	out := map[string]bool{}
	for _, r := range h.all() {
		out[r.header.Get("Webhook-Id")] = true
	}
	return out
}

var onLoopback = resource.Network{AllowLoopbackHTTP: true}

// to is a Channel to the receiver.
func (h *hook) to(name string) *resource.Channel {
	return &resource.Channel{Head: resource.Head{Name: name}, Webhook: &resource.Webhook{URL: h.URL + "/in", Secret: "hook"}, Network: onLoopback}
}

var hookSecret = map[string]string{"hook": hookKey}

func ok(w http.ResponseWriter, _ int) { _, _ = io.WriteString(w, "ok") }

// verified fails for what the specification's own library refuses.
func verified(t *testing.T, r received) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(hookKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.VerifyIgnoringTimestamp([]byte(r.body), r.header); err != nil {
		t.Error(err)
	}
}

func TestAChannelWhoseSecretIsForAnIntegrationIsRefused(t *testing.T) {
	w, h := newTower(t, t.TempDir(), nil, nil), newHook(t, ok)
	_, err := w.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "hook", Actor: setter, Scope: &vault.Scope{Integrations: []string{"erp"}},
		Fields: map[string][]byte{"token": []byte(hookKey)}})
	w.must(err)
	w.channels(nil, h.to("ops"))
	if err := w.Notifier.Test(t.Context(), setter, "ops"); !fault.Is(err, fault.Denied) || len(h.all()) != 0 {
		t.Errorf("the test said %v, and %d requests arrived", err, len(h.all()))
	}
}
