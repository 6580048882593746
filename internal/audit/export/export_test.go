package export_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// log is a store that keeps its entries and positions over a restart.
type log struct {
	mu     sync.Mutex
	rows   []audit.Row
	next   map[string]int64
	broken error // of SetExported
}

func (l *log) add(n int) {
	for range n {
		l.append(audit.Event{Type: audit.RunEnded, Run: "run_1"})
	}
}

func (l *log) append(ev audit.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev.Tenant, ev.At, ev.Actor = "acme", noon, "system:test"
	b, err := audit.Encode(int64(len(l.rows)), ev)
	if err != nil {
		panic(err)
	}
	l.rows = append(l.rows, audit.Row{Index: int64(len(l.rows)), Columns: audit.Columns{Type: ev.Type}, Entry: b})
}

func (l *log) Audit() audit.Reader { return reader{l} }
func (l *log) Exported(_ context.Context, t ident.Tenant, sink string) (int64, error) {
	return l.next[string(t)+sink], nil
}
func (l *log) SetExported(_ context.Context, t ident.Tenant, sink string, next int64) error {
	if l.broken == nil {
		l.next[string(t)+sink] = next
	}
	return l.broken
}
func (l *log) Record(_ context.Context, evs ...audit.Event) error {
	for _, ev := range evs {
		l.append(ev)
	}
	return nil
}

func (l *log) count(typ audit.Type) (n int) {
	for _, r := range l.rows {
		if r.Type == typ {
			n++
		}
	}
	return n
}

type reader struct{ *log }

func (r reader) Head(context.Context, ident.Tenant) (audit.Head, error) { return audit.Head{}, nil }
func (r reader) Hashes(context.Context, ident.Tenant, []int64) ([]tlog.Hash, error) {
	return nil, nil
}
func (r reader) Cosigned(context.Context, ident.Tenant) ([]byte, error) { return nil, nil }
func (r reader) List(_ context.Context, _ ident.Tenant, _ audit.Filter, from int64, limit int) ([]audit.Row, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []audit.Row
	for _, row := range r.rows {
		if row.Index >= from && len(out) < limit {
			out = append(out, row)
		}
	}
	return out, nil
}

// story is an Exporter with a clock that the test moves.
type story struct {
	*export.Exporter
	t   *testing.T
	now time.Time
}

func newStory(t *testing.T, l *log, s export.Sink) *story {
	st := &story{t: t, now: noon}
	st.Exporter = &export.Exporter{Tenant: "acme", Store: l, Sink: s, Now: func() time.Time { return st.now }, Log: slog.New(slog.DiscardHandler)}
	return st
}

func (s *story) round() {
	s.t.Helper()
	if err := s.Round(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func newLog(n int) *log {
	l := &log{next: map[string]int64{}}
	l.add(n)
	return l
}

// indexes reads those of JSON lines.
func indexes(t *testing.T, lines []byte) (out []int64) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		var e struct{ Index int64 }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e.Index)
	}
	return out
}

func inOrder(t *testing.T, got []int64, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d entries, want %d", len(got), n)
	}
	for i, x := range got {
		if x != int64(i) {
			t.Fatalf("entry %d is where %d has to be", x, i)
		}
	}
}

func TestAFileHasEveryEntryOnceAndGoesOnAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "audit.jsonl")
	l := newLog(1201)
	for range 2 { // the second is another process
		f, err := export.NewFile(path, t.TempDir(), 0)
		if err != nil {
			t.Fatal(err)
		}
		s := newStory(t, l, f)
		s.round()
		if st := s.Status(); st.State != outside.OK || st.Size != int64(len(l.rows)) {
			t.Errorf("%+v", st)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, indexes(t, b), len(l.rows))
		l.add(10)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAFullFileIsFollowedByAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	f, err := export.NewFile(path, t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(9000)
	s := newStory(t, l, f)
	s.round()
	all, err := filepath.Glob(path + ".*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	var lines []byte
	for _, name := range append(all, path) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, b...)
	}
	inOrder(t, indexes(t, lines), 9000)
}

func TestAPlaceThatTakesNothingLosesNothing(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil { // it is no regular file, and refused as such
		t.Skip("there is no /dev/full here")
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	f, err := export.NewFile(path, t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(3)
	s := newStory(t, l, f)
	s.round()
	if s.Status().State != outside.Failing || l.count(audit.ExportLost) != 1 {
		t.Errorf("%+v", s.Status())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	s.round()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inOrder(t, indexes(t, b), len(l.rows)) // with those that say so
}

func TestALineThatWasCutByACrashIsNotTheBeginningOfTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte(`{"index":0,"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := export.NewFile(path, t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	newStory(t, newLog(2), f).round()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	inOrder(t, indexes(t, rest), 2)
}

func TestAWebhookThatFailsGetsTheSameMessageAgainAtEverLongerIntervals(t *testing.T) {
	var ids []string
	var bodies [][]byte
	fail := fault.New(fault.Unavailable, "the receiver answers with the status 500")
	err := error(fail)
	l := newLog(700)
	s := newStory(t, l, export.Webhook{URL: "https://siem.example/in?x=1", Post: func(_ context.Context, id string, body []byte) error {
		ids, bodies = append(ids, id), append(bodies, body)
		return err
	}})
	tries := 0
	for range 600 { // ten minutes, second by second
		s.round()
		s.now = s.now.Add(time.Second)
	}
	if tries = len(ids); tries < 8 || tries > 12 {
		t.Errorf("it was tried %d times in ten minutes", tries)
	}
	for i := range ids {
		if ids[i] != ids[0] {
			t.Errorf("another try has another id: %s, %s", ids[0], ids[i])
		}
	}
	if st := s.Status(); st.State != outside.Failing || st.Name != "https://siem.example/in" || st.Size != 0 || l.count(audit.ExportLost) != 1 {
		t.Errorf("%+v", st)
	}
	err = nil
	s.now = s.now.Add(10 * time.Minute)
	s.round()
	s.round()
	if s.Status().State != outside.OK || l.count(audit.ExportBack) != 1 {
		t.Errorf("%+v", s.Status())
	}
	var got []int64
	for _, b := range bodies[tries:] {
		var m struct {
			Type string
			Data struct {
				First, Next int64
				Entries     []struct{ Index int64 }
			}
		}
		if err := json.Unmarshal(b, &m); err != nil || m.Type != "audit.entries" || int64(len(m.Data.Entries)) != m.Data.Next-m.Data.First {
			t.Fatalf("%v %s", err, b)
		}
		for _, e := range m.Data.Entries {
			got = append(got, e.Index)
		}
	}
	inOrder(t, got, len(l.rows))
}

func TestWhatWasTakenAndNotNotedComesAgain(t *testing.T) {
	n := 0
	l := newLog(5)
	l.broken = errors.New("the disk is full")
	s := newStory(t, l, export.Webhook{URL: "https://siem.example", Post: func(context.Context, string, []byte) error { n++; return nil }})
	s.round()
	l.broken = nil
	s.now = s.now.Add(time.Minute)
	s.round()
	if n != 3 || s.Status().Size != int64(len(l.rows)) { // the five twice, and then what says that it was back
		t.Errorf("%d messages, %+v", n, s.Status())
	}
}

// Attack: an entry is removed from the database; the copy must not go on as if it
// had never been.
func TestAnEntryThatIsGoneStopsTheExport(t *testing.T) {
	var sent int
	l := newLog(10)
	l.rows = append(l.rows[:4], l.rows[5:]...)
	s := newStory(t, l, export.Webhook{URL: "https://siem.example", Post: func(context.Context, string, []byte) error { sent++; return nil }})
	if err := s.Round(t.Context()); !fault.Is(err, fault.Unavailable) || sent != 1 || s.Status().Size != 4 {
		t.Errorf("%v, %d messages, %+v", err, sent, s.Status())
	}
}

// receiver is a syslog server over TLS (RFC 5425).
type receiver struct {
	net.Listener
	ca   string
	got  chan string
	done chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "siem"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{ca: filepath.Join(t.TempDir(), "ca.pem"), got: make(chan string, 10_000), done: make(chan struct{})}
	if err := os.WriteFile(r.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	go r.serve()
	t.Cleanup(func() { _ = r.Close(); <-r.done })
	return r
}

func (r *receiver) serve() {
	defer close(r.done)
	for {
		c, err := r.Accept()
		if err != nil {
			return
		}
		in := bufio.NewReader(c)
		for {
			size, err := in.ReadString(' ')
			n, nerr := strconv.Atoi(strings.TrimSpace(size))
			if err != nil || nerr != nil {
				break
			}
			msg := make([]byte, n)
			if _, err := io.ReadFull(in, msg); err != nil {
				break
			}
			r.got <- string(msg)
		}
		_ = c.Close()
	}
}

func TestSyslogOverTLSGetsEachEntryAsOneMessage(t *testing.T) {
	r := newReceiver(t)
	sys, err := outside.NewSyslog("tls", r.Addr().String(), r.ca)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(620)
	s := newStory(t, l, export.Syslog{Syslog: sys})
	s.round()
	if st := s.Status(); st.State != outside.OK || st.Size != 620 {
		t.Fatalf("%+v", st)
	}
	for i := range 620 {
		msg := <-r.got
		if !strings.HasPrefix(msg, "<109>1 2026-11-23T12:00:00.000Z ") || !strings.Contains(msg, " audit-entry - {") || !strings.Contains(msg, fmt.Sprintf(`"index":%d,`, i)) {
			t.Fatalf("message %d is %q", i, msg)
		}
	}
	_ = r.Close()
	l.add(1)
	s.round()
	if st := s.Status(); st.State != outside.Failing || st.Size != 620 {
		t.Errorf("without a server: %+v", st)
	}
}

func TestAFileInTheDataDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"relative.jsonl", filepath.Join(dir, "audit.jsonl")} {
		if _, err := export.NewFile(path, dir, 0); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := export.NewFile("/mnt/x", dir, 5); !fault.Is(err, fault.Invalid) {
		t.Errorf("a tiny file: %v", err)
	}
}
