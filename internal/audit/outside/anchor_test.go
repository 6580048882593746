package outside_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
)

func file(t *testing.T, path string) *outside.File {
	t.Helper()
	f, err := outside.NewFile(path, "/nowhere/data")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnAnchorFileGetsEachChangedCheckpointWhenItIsTime(t *testing.T) {
	m := newMemory(t)
	m.grow(4)
	path := filepath.Join(t.TempDir(), "own", "anchor.jsonl")
	now := noon
	k := keeper(t, outside.Config{Store: m, Sinks: []outside.Sink{file(t, path)}, Every: time.Minute, Entries: 100, Now: func() time.Time { return now }})
	sizes := func() (out []int64) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range audit.ParseAnchor(b) {
			c, err := audit.OpenCheckpoint(a.Checkpoint, m.head.Verifier)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c.Size)
		}
		return out
	}
	round(t, k)
	m.grow(1)
	round(t, k) // too early
	now = now.Add(time.Minute)
	round(t, k)
	now = now.Add(time.Hour)
	round(t, k) // nothing new
	m.grow(100)
	now = now.Add(time.Second)
	round(t, k) // many entries
	if got := sizes(); !slices.Equal(got, []int64{5, 6, 106}) {
		t.Errorf("it has the sizes %v", got)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	// The machine stops in the middle of a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"at":"2026`)
	_ = f.Close()
	m.grow(1)
	now = now.Add(time.Hour)
	round(t, k)
	if got := sizes(); !slices.Equal(got, []int64{5, 6, 106, 107}) {
		t.Errorf("it has the sizes %v", got)
	}
}

func TestAnAnchorThatCantBeWrittenIsOnTheRecordOnce(t *testing.T) {
	m := newMemory(t)
	m.grow(4)
	dir := t.TempDir()
	path := filepath.Join(dir, "anchor")
	if err := os.Mkdir(path, 0o700); err != nil { // no file can be there
		t.Fatal(err)
	}
	now := noon
	k := keeper(t, outside.Config{Store: m, Sinks: []outside.Sink{file(t, path)}, Every: time.Minute, Now: func() time.Time { return now }})
	for range 3 {
		round(t, k)
		now = now.Add(time.Hour)
	}
	if s := k.Status()[0]; s.State != outside.Failing || s.Why == "" {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	round(t, k)
	if got := m.types(); !slices.Equal(got, []string{"anchor.lost", "anchor.back"}) {
		t.Errorf("recorded: %v", got)
	}
}

func TestWhereAnAnchorFileCanNotBe(t *testing.T) {
	data := t.TempDir()
	for _, path := range []string{"", "anchor", "./x", data, filepath.Join(data, "anchor"), data + "/x/../anchor", data + "/../" + filepath.Base(data) + "/a"} {
		if _, err := outside.NewFile(path, data); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(data, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := file(t, link).Put(t.Context(), noon, []byte("x\n")); err == nil {
		t.Error("it followed a link")
	}
}

// rfc5424 is the form of our messages.
var rfc5424 = regexp.MustCompile(`^<109>1 2026-11-23T12:00:00\.000Z \S+ sallyport \d+ audit-checkpoint - (\{.*\})$`)

func TestSyslogGetsOneMessageACheckpoint(t *testing.T) {
	line := audit.AnchorLine("2026-11-23T12:00:00Z", []byte("a\n1\nb\n\n— c d\n"))
	check := func(t *testing.T, msg string) {
		t.Helper()
		if m := rfc5424.FindStringSubmatch(msg); m == nil || m[1]+"\n" != string(line) {
			t.Errorf("the message is %q", msg)
		}
	}
	put := func(t *testing.T, network, address, ca string) {
		t.Helper()
		s, err := outside.NewSyslog(network, address, ca)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), noon, line); err != nil {
			t.Fatal(err)
		}
	}
	datagram := func(t *testing.T, network, address string) {
		pc, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		put(t, network, pc.LocalAddr().String(), "")
		b := make([]byte, 4096)
		n, _, err := pc.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		check(t, string(b[:n]))
	}
	t.Run("udp", func(t *testing.T) { datagram(t, "udp", "127.0.0.1:0") })
	t.Run("unixgram", func(t *testing.T) { datagram(t, "unixgram", filepath.Join(t.TempDir(), "log")) })
	stream := func(t *testing.T, ln net.Listener, network, ca string) {
		got := make(chan string, 1)
		go func() {
			c, err := ln.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			b, _ := io.ReadAll(c)
			got <- string(b)
		}()
		put(t, network, ln.Addr().String(), ca)
		length, msg, _ := strings.Cut(<-got, " ")
		if length != strings.TrimSpace(itoa(len(msg))) {
			t.Errorf("the length before a message of %d bytes is %s", len(msg), length)
		}
		check(t, msg)
	}
	t.Run("tcp", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		stream(t, ln, "tcp", "")
	})
	t.Run("tls", func(t *testing.T) {
		cert, ca := certificate(t)
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		stream(t, ln, "tls", ca)
	})
	t.Run("tls by a stranger", func(t *testing.T) {
		cert, _ := certificate(t)
		_, ca := certificate(t)
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if c, err := ln.Accept(); err == nil {
				_, _ = io.ReadAll(c)
			}
		}()
		s, err := outside.NewSyslog("tls", ln.Addr().String(), ca)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), noon, line); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a stranger got it: %v", err)
		}
	})
	for _, c := range [][3]string{{"", "x", ""}, {"unix", "x", ""}, {"tls", "nowhere", ""}, {"udp", "", ""}, {"tcp", "x:1", "ca"}, {"tls", "x:1", "/dev/null"}} {
		if _, err := outside.NewSyslog(c[0], c[1], c[2]); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", c, err)
		}
	}
	s, err := outside.NewSyslog("unixgram", filepath.Join(t.TempDir(), "none"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(context.Background(), noon, line); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func itoa(n int) string { return string(bytes.TrimSpace(big.NewInt(int64(n)).Append(nil, 10))) }

// certificate is one of 127.0.0.1, and the file that it is in.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
