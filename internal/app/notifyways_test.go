package app

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/mailtest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// canaries are what is in no message, log or entry.
var canaries = []string{argument, reason, "Halvorsen", hookKey, strings.TrimPrefix(hookKey, "whsec_"), slackPath, "cnry9f27Kq0ZxW4v81one", mailSecret}

func lookedThrough(t *testing.T, where, text string, but ...string) {
	t.Helper()
	for _, c := range canaries {
		skip := false
		for _, b := range but {
			skip = skip || b == c
		}
		if !skip && strings.Contains(text, c) {
			t.Errorf("%s has %q", where, c)
		}
	}
}

// slackServer takes messages as Slack does.
func slackServer(t *testing.T, answer func(http.ResponseWriter)) (s *httptest.Server, got *[]received) {
	t.Helper()
	got = new([]received)
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*got = append(*got, received{r.Header, r.URL.String(), string(b)})
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s, got
}

func TestPeopleHearOfADecisionByEveryWay(t *testing.T) {
	h := newHook(t, func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNoContent) })
	s, said := slackServer(t, func(w http.ResponseWriter) { _, _ = io.WriteString(w, "ok") })
	m := mailtest.Start(t, mailtest.Options{User: "notifier", Password: mailSecret})
	roots := m.RootCAs.Clone()
	roots.AddCert(s.Certificate())
	dir := t.TempDir()
	w := newTower(t, dir, roots, nil)
	local := resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}
	for _, tells := range []resource.Tells{resource.TellsLink, resource.TellsSummary} {
		hooked := h.to("hook")
		list := []*resource.Channel{hooked,
			{Head: resource.Head{Name: "slack"}, Slack: &resource.Slack{Secret: "slack", Origin: s.URL}, Network: local},
			{Head: resource.Head{Name: "mail"}, SMTP: &resource.SMTP{Host: m.Host, Port: m.Port, From: "sallyport@example.com", To: []string{"members"}, Domain: "example.com", Username: "notifier", Secret: "mail"}, Network: local}}
		for _, c := range list {
			c.Tells = tells
		}
		secrets := map[string]string{"hook": hookKey, "slack": s.URL + slackPath, "mail": mailSecret}
		if tells == resource.TellsSummary {
			secrets = nil
		}
		w.channels(secrets, list...)
		d := w.park("finance")
		w.done("hook", "slack", "mail")
		link := "https://sallyport.example.com/decisions/" + d.ID
		summary := tells == resource.TellsSummary

		hooks := h.all()
		last := hooks[len(hooks)-1]
		verified(t, last)
		var body struct {
			Type string            `json:"type"`
			Data map[string]string `json:"data"`
		}
		w.must(json.Unmarshal([]byte(last.body), &body))
		if body.Type != "decision.waiting" || body.Data["link"] != link || body.Data["mission"] != "Pay <invoices> & more" || body.Data["team"] != "finance" ||
			(body.Data["tool"] == "pay") != summary || (body.Data["connection"] == "erp-write") != summary {
			t.Errorf("the webhook got %s", last.body)
		}
		text := (*said)[len(*said)-1]
		if text.path != slackPath || !strings.Contains(text.body, link) || !strings.Contains(text.body, `Pay \u0026lt;invoices\u0026gt;`) || strings.Contains(text.body, "erp-write") != summary {
			t.Errorf("Slack got %s at %s", text.body, text.path)
		}
		mails := m.Mails()
		got := mails[len(mails)-1]
		if !got.TLS || got.User != "notifier" || strings.Join(got.To, ",") != "ann@example.com,fay@example.com" || got.From != "sallyport@example.com" {
			t.Errorf("the mail server got %+v", got)
		}
		read, err := mail.ReadMessage(strings.NewReader(got.Data))
		w.must(err)
		plain, err := io.ReadAll(quotedprintable.NewReader(read.Body))
		w.must(err)
		if !strings.Contains(string(plain), link) || strings.Contains(string(plain), "erp-write") != summary || read.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("the mail is %s\n%s", got.Data, plain)
		}
		if typ, _, err := mime.ParseMediaType(read.Header.Get("Content-Type")); err != nil || typ != "text/plain" {
			t.Error(typ, err)
		}
		lookedThrough(t, "the webhook's message", last.body)
		lookedThrough(t, "Slack's message", text.body)
		lookedThrough(t, "the mail", string(plain)+got.Data)
	}
	lookedThrough(t, "the log", w.log.String())
	for _, typ := range []audit.Type{audit.SecretOpened, audit.ChannelFailed, audit.IntentParked} {
		n, text := w.entries(typ)
		lookedThrough(t, "the audit log", text)
		if typ == audit.SecretOpened && n != 6 {
			t.Errorf("%d uses are on the record, want one for each message: %s", n, text)
		}
	}
	for _, file := range []string{"sallyport.db", "sallyport.db-wal"} {
		if b, err := os.ReadFile(filepath.Join(dir, "data", file)); err == nil {
			lookedThrough(t, file, string(b), argument, reason, "Halvorsen") // those are the Intent's
		}
	}
}

// A secret that somebody wrote into a title before it was one.
func TestASecretInATitleIsTakenOut(t *testing.T) {
	w, h := newTower(t, t.TempDir(), nil, nil), newHook(t, ok)
	w.channels(hookSecret, h.to("ops"))
	_, err := w.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "late", AnyOrigin: true, AlthoughRecorded: true, Actor: setter, Fields: map[string][]byte{"token": []byte("Pay <invoices> & more")}})
	w.must(err)
	w.park("finance")
	w.done("ops")
	if got := h.all(); len(got) != 1 || strings.Contains(got[0].body, "invoices") || !strings.Contains(got[0].body, "[secret:late]") {
		t.Errorf("the webhook got %+v", got)
	}
}

func TestWhatAReceiverSaysIsNotFollowedAndNotShown(t *testing.T) {
	elsewhere := newHook(t, ok)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, int)
		says   string
	}{
		"a redirect":       {func(w http.ResponseWriter, _ int) { w.Header().Set("Location", elsewhere.URL); w.WriteHeader(307) }, "status 307"},
		"an error":         {func(w http.ResponseWriter, _ int) { http.Error(w, "cnry-from-outside", 500) }, "status 500"},
		"a cut connection": {func(http.ResponseWriter, int) { panic(http.ErrAbortHandler) }, "cut the connection"},
		"a long answer": {func(w http.ResponseWriter, _ int) {
			w.WriteHeader(400)
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("cnry-from-outside", 4000))
			}
		}, "status 400"},
	} {
		t.Run(name, func(t *testing.T) {
			w, h := newTower(t, t.TempDir(), nil, nil), newHook(t, c.answer)
			w.channels(hookSecret, h.to("ops"))
			err := w.Notifier.Test(t.Context(), setter, "ops")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the test said %v", err)
			}
			_, text := w.entries(audit.ChannelTested)
			for where, s := range map[string]string{"the error": err.Error() + fault.HintOf(err), "the log": w.log.String(), "the audit log": text} {
				if strings.Contains(s, "from-outside") || strings.Contains(s, elsewhere.URL) {
					t.Errorf("%s has %s", where, s)
				}
			}
		})
	}
	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// Slack's contract: 200 with ok, and reasons as words.
func TestSlacksReasonsAreToldInWordsOfOurs(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		says   string
	}{
		"ok": {200, "ok", ""}, "a page": {200, "<html>sign in</html>", "without Slack's ok"},
		"no_service": {404, "no_service", "rotate the Secret"}, "archived": {410, "channel_is_archived", "is archived"},
		"prohibited": {403, "action_prohibited", "does not permit"}, "other": {400, "cnry " + slackPath, "status 400"}, "limited": {429, "rate_limited", "status 429"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := slackServer(t, func(w http.ResponseWriter) { w.WriteHeader(c.status); _, _ = io.WriteString(w, c.body) })
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			w := newTower(t, t.TempDir(), roots, nil)
			w.channels(map[string]string{"slack": s.URL + slackPath}, &resource.Channel{Head: resource.Head{Name: "slack"},
				Slack: &resource.Slack{Secret: "slack", Origin: s.URL}, Network: resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}})
			err := w.Notifier.Test(t.Context(), setter, "slack")
			if c.says == "" {
				w.must(err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it said %v", err)
			}
			lookedThrough(t, "the error", err.Error()+fault.HintOf(err))
		})
	}
}

func TestAnIncidentIsToldOnceAMinuteOfOneRun(t *testing.T) {
	w, h := newTower(t, t.TempDir(), nil, nil), newHook(t, ok)
	c := h.to("ops")
	c.Events, c.Teams = []resource.Event{resource.EventIncident}, []string{"legal"}
	w.channels(hookSecret, c)
	w.clock.Store(w.now().Truncate(time.Minute).UnixMilli())
	met := func() {
		w.must(w.store.Record(t.Context(), audit.Event{Type: audit.WorkerIncident, Tenant: "acme", At: w.now(), Actor: "run:run_1", Run: "run_1", Mission: "pay",
			Fields: map[string]any{"kind": "known-secret-in-proposal", "secret": "hook"}}))
	}
	for range 5 {
		met()
	}
	w.park("legal") // this Channel does not tell of it
	w.done("ops")
	w.later(2 * time.Minute)
	met()
	w.done("ops")
	got := h.all()
	if len(got) != 2 || !strings.Contains(got[0].body, "https://sallyport.example.com/runs/run_1") || strings.Contains(got[0].body, "known-secret") {
		t.Errorf("%d messages: %+v", len(got), got)
	}
}
