package demo_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/resource"
)

// The places where the audit log goes outside.
const (
	aWitness, anAnchor, anchorLog   = "a witness", "an anchor's file", "an anchor's syslog"
	exportFile, exportLog, exportTo = "an export's file", "an export's syslog", "an export's webhook"
)

// siemKey signs what the webhook gets.
const siemKey = "whsec_c2llbS1zaWduaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4="

// outsiders take all that the server sends of its audit log into sinks.
type outsiders struct {
	t             *testing.T
	s             *sinks
	config        app.AuditConfig
	witness, siem *httptest.Server
	file          *export.File
	entries       *outside.Syslog
	checkpoints   *outside.Syslog
	anchor        *outside.File
	dir           string
}

func beOutside(t *testing.T, s *sinks) *outsiders {
	t.Helper()
	o := &outsiders{t: t, s: s, dir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	o.witness = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = s.at(aWitness).Write(append(b, r.URL.String()+fmt.Sprint(r.Header)...))
		_, note, _ := strings.Cut(string(b), "\n\n")
		text, _, _ := strings.Cut(note, "\n\n")
		_, _ = io.WriteString(rw, cosigned(key, text+"\n"))
	}))
	t.Cleanup(o.witness.Close)
	w, err := outside.NewWitness(o.witness.URL, witnessKey(key))
	must(err)
	o.siem = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = s.at(exportTo).Write(append(b, r.URL.String()+fmt.Sprint(r.Header)...))
	}))
	t.Cleanup(o.siem.Close)
	o.file, err = export.NewFile(filepath.Join(o.dir, "export.jsonl"), t.TempDir(), 0)
	must(err)
	o.anchor, err = outside.NewFile(filepath.Join(o.dir, "anchor.jsonl"), t.TempDir())
	must(err)
	o.entries, err = outside.NewSyslog("tcp", o.listens(exportLog), "")
	must(err)
	o.checkpoints, err = outside.NewSyslog("tcp", o.listens(anchorLog), "")
	must(err)
	o.config = app.AuditConfig{Witnesses: []*outside.Witness{w}, Quorum: 1, Visit: time.Second, Every: time.Second, Sinks: []outside.Sink{o.anchor, o.checkpoints},
		Exports:  []export.Sink{o.file, export.Syslog{Syslog: o.entries}},
		Webhooks: []app.AuditWebhook{{Hook: resource.Webhook{URL: o.siem.URL + "/in", Secret: "siem-signing"}, Network: resource.Network{AllowLoopbackHTTP: true}}}}
	return o
}

// listens is a syslog server, whose lines go into a sink.
func (o *outsiders) listens(sink string) (addr string) {
	o.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(o.s.at(sink), c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// witnessKey is the verifier key of a witness (C2SP tlog-cosignature).
func witnessKey(key ed25519.PrivateKey) string {
	raw := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte("w.example\n"), raw...))
	return fmt.Sprintf("w.example+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(raw))
}

// cosigned is its cosignature's line.
func cosigned(key ed25519.PrivateKey, text string) string {
	raw := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte("w.example\n"), raw...))
	at := uint64(1_800_000_000)
	sig := ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))
	return "\u2014 w.example " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(sum[:4:4], at), sig...)) + "\n"
}

// keyed stores what the webhook is signed with.
func (o *outsiders) keyed(w *world) {
	w.t.Helper()
	w.must(w.as("admin").Call(w.t.Context(), "PUT", "/v1/secrets/siem-signing", map[string]any{"fields": map[string]string{"token": siemKey}, "anyOrigin": true}, nil))
}

// forgotten has the private records forgotten, for a reason that holds a secret.
func (w *world) forgotten(secret string) {
	w.t.Helper()
	w.must(w.as("admin").Call(w.t.Context(), "POST", "/v1/audit/forget-records", map[string]any{"why": "it is like " + secret, "password": w.People["admin"].Password, "code": w.code("admin")}, nil))
}

// caughtUp waits until all of it has left.
func (o *outsiders) caughtUp(w *world) {
	w.t.Helper()
	w.eventually("the audit log is outside", func() bool {
		var st api.AuditStatus
		w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/audit/status", nil, &st))
		for _, x := range st.Outside {
			if x.State != outside.OK || x.Lag > 0 {
				return false
			}
		}
		return len(st.Outside) == 6 && st.CosignedSize > 0
	})
	o.files(w)
	for _, sink := range []string{aWitness, anAnchor, anchorLog, exportFile, exportLog, exportTo} {
		if len(o.s.tail(sink, 0)) < 100 {
			w.t.Errorf("%s has got nothing", sink)
		}
	}
}

// files takes in what is in the two files.
func (o *outsiders) files(w *world) {
	w.t.Helper()
	for name, sink := range map[string]string{"anchor.jsonl": anAnchor, "export.jsonl": exportFile} {
		b, err := os.ReadFile(filepath.Join(o.dir, name))
		w.must(err)
		_, _ = o.s.at(sink).Write(b)
	}
}

// plant sends a canary to each place by its own way, and names them.
func (o *outsiders) plant(w *world, own func(string) string) map[string]bool {
	w.t.Helper()
	ctx := w.t.Context()
	batch := func(sink string) export.Batch {
		return export.Batch{Tenant: demo.Tenant, Next: 1, At: time.Now(), Entries: [][]byte{[]byte(own(sink))}}
	}
	w.must(o.file.Send(ctx, batch(exportFile)))
	w.must(export.Syslog{Syslog: o.entries}.Send(ctx, batch(exportLog)))
	w.must(o.checkpoints.Lines(ctx, time.Now(), "planted", [][]byte{[]byte(own(anchorLog))}))
	w.must(o.anchor.Put(ctx, time.Now(), []byte(own(anAnchor))))
	for sink, srv := range map[string]*httptest.Server{aWitness: o.witness, exportTo: o.siem} {
		resp, err := http.Post(srv.URL+"/planted", "text/plain", strings.NewReader(own(sink)))
		w.must(err)
		_ = resp.Body.Close()
	}
	o.files(w)
	has := func() bool {
		return strings.Contains(string(o.s.tail(exportLog, 0)), own(exportLog)) && strings.Contains(string(o.s.tail(anchorLog, 0)), own(anchorLog))
	}
	w.eventually("syslog has it", has)
	return map[string]bool{aWitness: true, anAnchor: true, anchorLog: true, exportFile: true, exportLog: true, exportTo: true}
}
