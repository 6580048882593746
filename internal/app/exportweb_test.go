package app

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// overTLS is a receiver of entries with a certificate of its own.
func overTLS(t *testing.T, answer func(w http.ResponseWriter, nth int)) (*hook, *x509.CertPool) {
	t.Helper()
	h := newHook(t, answer)
	s := httptest.NewTLSServer(h.Config.Handler)
	t.Cleanup(s.Close)
	h.Server = s
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return h, roots
}

// exported is a server with one webhook for its entries, and what carries them.
func exported(t *testing.T, url string, roots *x509.CertPool, network resource.Network) (*tower, *export.Exporter) {
	t.Helper()
	w := newTower(t, t.TempDir(), roots, nil)
	_, err := w.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "siem", AnyOrigin: true, Actor: setter, Fields: map[string][]byte{"token": []byte(hookKey)}})
	w.must(err)
	w.cfg.Audit.Webhooks = []AuditWebhook{{Hook: resource.Webhook{URL: url, Secret: "siem"}, Network: network}}
	w.must(w.exporters())
	return w, w.exports[0]
}

var private = resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}

func TestEntriesReachAReceiverOverTLSSignedAndInOrder(t *testing.T) {
	h, roots := overTLS(t, func(w http.ResponseWriter, nth int) {
		switch nth {
		case 1:
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	w, x := exported(t, h.URL+"/in", roots, private)
	w.must(x.Round(t.Context()))
	if st := x.Status(); st.State != outside.Failing || !strings.Contains(st.Why, "503") {
		t.Errorf("%+v", st)
	}
	w.later(30 * time.Minute) // longer than it waits by itself
	if w.must(x.Round(t.Context())); len(h.all()) != 1 {
		t.Error("the receiver wanted to be left alone for an hour")
	}
	w.later(time.Hour)
	w.must(x.Round(t.Context())) // 500
	w.later(time.Hour)
	w.must(x.Round(t.Context()))
	got := h.all()
	if st := x.Status(); st.State != outside.OK || len(got) < 4 {
		t.Fatalf("%+v, %d messages", st, len(got))
	}
	for _, r := range got {
		verified(t, r)
	}
	// It gets more at each try, since each failure is an entry too.
	next := int64(0)
	for _, r := range got[2:] {
		var body struct {
			Type string
			Data struct {
				First, Next int64
				Entries     []struct{ Index int64 }
			}
		}
		w.must(json.Unmarshal([]byte(r.body), &body))
		if body.Type != "audit.entries" || body.Data.First != next || int64(len(body.Data.Entries)) != body.Data.Next-body.Data.First || body.Data.Entries[0].Index != next {
			t.Errorf("after %d came %+v", next, body)
		}
		next = body.Data.Next
	}
	lookedThrough(t, "what was sent", got[len(got)-1].body+got[0].body)
}

func TestEntriesGoNowhereElse(t *testing.T) {
	var strayed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	h, roots := overTLS(t, func(w http.ResponseWriter, _ int) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	for name, c := range map[string]struct {
		roots   *x509.CertPool
		network resource.Network
		arrive  int
		why     string
	}{
		"a redirect":              {roots, private, 1, "307"},
		"a certificate of nobody": {x509.NewCertPool(), private, 0, ""},
		"an address inside":       {roots, resource.Network{}, 0, ""},
	} {
		before := len(h.all())
		w, x := exported(t, h.URL+"/in", c.roots, c.network)
		w.must(x.Round(t.Context()))
		if st := x.Status(); st.State != outside.Failing || !strings.Contains(st.Why, c.why) || len(h.all())-before != c.arrive {
			t.Errorf("%s: %+v, %d arrived", name, st, len(h.all())-before)
		}
		if next, err := w.store.Exported(t.Context(), "acme", "export-webhook "+h.URL+"/in"); err != nil || next != 0 {
			t.Errorf("%s: the position is %d, %v", name, next, err)
		}
	}
	if strayed.Load() > 0 {
		t.Error("entries went where a redirect leads")
	}
}
