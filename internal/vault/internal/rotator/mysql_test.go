package rotator

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// The hash is the one that crypt(3) computes, and that MySQL keeps: the last is
// hashcat's example of mode 7401.
func TestACachingHashIsWhatMySQLKeeps(t *testing.T) {
	for _, c := range []struct{ password, salt, want string }{
		{"Hello world!", "saltstring", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"}, // openssl passwd -5 -salt saltstring
		{"hashcat", "\xF9\xCC\x98\xCE\x08\x89\x29\x24\xF5\x0A\x21\x3B\x6B\xC5\x71\xA2\xC1\x17\x78\xC5", unhex("625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F")},
	} {
		if got := shaCrypt([]byte(c.password), []byte(c.salt), cachingRounds); got != c.want {
			t.Errorf("of %s it is %s, not %s", c.password, got, c.want)
		}
	}
	if h := cachingHash([]byte("x"), Generate(cachingSalt)); len(h) != 70 || strings.ContainsAny(h, `'\`) {
		t.Errorf("%s has %d characters", h, len(h))
	}
}

func unhex(s string) string {
	b, _ := hex.DecodeString(s)
	return string(b)
}

// sql8 is a server that speaks MySQL 8's handshake: the greeting, TLS, switching the
// plugin, both ways of caching_sha2_password, and three statements. What it keeps of a
// password is the hash that it was told.
type sql8 struct {
	t       *testing.T
	l       net.Listener
	cert    tls.Certificate
	ca      string
	version string
	noTLS   bool
	mu      sync.Mutex
	users   map[string]string // to the stored hash
	cached  map[string][]byte // to SHA256(SHA256(password)), of who has signed in
	full    int               // sign-ins with the whole password, over TLS
	said    []string          // statements
	rawMu   sync.Mutex
	raw     bytes.Buffer     // what came before TLS, or without it
	odd     func(c net.Conn) // does something else after the greeting
}

func newSQL8(t *testing.T) *sql8 {
	s := &sql8{t: t, version: "8.4.3", users: map[string]string{}, cached: map[string][]byte{}}
	s.cert, s.ca = certificate(t, "localhost")
	var err error
	if s.l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.l.Close() })
	go func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				s.serve(c)
			}()
		}
	}()
	return s
}

// noted keeps what came before TLS, or without it.
type noted struct{ *sql8 }

func (s noted) Write(p []byte) (int, error) {
	s.rawMu.Lock()
	defer s.rawMu.Unlock()
	return s.raw.Write(p)
}

// came is that.
func (s *sql8) came() []byte {
	s.rawMu.Lock()
	defer s.rawMu.Unlock()
	return bytes.Clone(s.raw.Bytes())
}

// heard is a connection of which all that comes is kept.
type heard struct {
	net.Conn
	in io.Reader
}

func (h heard) Read(p []byte) (int, error) { return h.in.Read(p) }

// certificate is a self-signed one for a name, and its PEM.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s *sql8) job(host string, noTLS bool, f Fields) Job {
	q := &resource.SQLRotator{Host: host, Port: 3306, CA: s.ca}
	if noTLS {
		q.CA, q.Network.AllowLoopbackHTTP = "", true
	}
	dial := func(ctx context.Context, _ string, _ bool) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.l.Addr().String())
	}
	return Job{Rotator: resource.Rotator{Kind: resource.RotatorMySQL, SQL: q}, Admin: f, Version: f, Before: f, Dial: dial}
}

func login(user, password string) Fields {
	return Fields{"username": plain.New([]byte(user)), "password": plain.New([]byte(password))}
}

func packet(seq byte, body []byte) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

func read(c io.Reader) (seq byte, body []byte) {
	var h [4]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return 0, nil
	}
	body = make([]byte, int(h[0])|int(h[1])<<8|int(h[2])<<16)
	_, _ = io.ReadFull(c, body)
	return h[3], body
}

const salt8 = "0123456789abcdefghij"

func (s *sql8) greeting() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	caps := uint32(0x00000001 | 0x00000008 | 0x00000200 | 0x00008000 | 0x00080000 | 0x00200000)
	if !s.noTLS {
		caps |= 0x00000800
	}
	b := append([]byte{10}, s.version...)
	b = append(b, 0, 1, 0, 0, 0)
	b = append(b, salt8[:8]...)
	b = append(b, 0, byte(caps), byte(caps>>8), 45, 2, 0, byte(caps>>16), byte(caps>>24), 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, salt8[8:]...)
	b = append(b, 0)
	return append(append(b, "caching_sha2_password"...), 0)
}

func (s *sql8) serve(c net.Conn) {
	_, _ = c.Write(packet(0, s.greeting()))
	in := io.TeeReader(c, noted{s})
	s.mu.Lock()
	odd := s.odd
	s.mu.Unlock()
	if odd != nil {
		_, _ = read(in)
		odd(heard{c, in})
		_, _ = io.Copy(io.Discard, in)
		return
	}
	seq, b := read(in)
	overTLS := len(b) == 32 // the request for TLS
	var rw io.ReadWriter = struct {
		io.Reader
		io.Writer
	}{in, c}
	if overTLS {
		up := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.cert}})
		if up.Handshake() != nil {
			return
		}
		rw = up
		seq, b = read(rw)
	}
	if len(b) < 33 {
		return
	}
	user, rest, _ := bytes.Cut(b[32:], []byte{0})
	if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
		return
	}
	scramble := rest[1 : 1+int(rest[0])]
	if !s.authentic(rw, &seq, string(user), scramble, overTLS) {
		msg := append([]byte{0xff, 0x15, 0x04}, "#28000Access denied"...)
		_, _ = rw.Write(packet(seq+1, msg))
		return
	}
	_, _ = rw.Write(packet(seq+1, []byte{0, 0, 0, 2, 0, 0, 0}))
	s.statements(rw)
}

// authentic plays caching_sha2_password.
func (s *sql8) authentic(rw io.ReadWriter, seq *byte, user string, scramble []byte, overTLS bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if twice := s.cached[user]; twice != nil && len(scramble) == 32 {
		mask := sha256.Sum256(append(bytes.Clone(twice), salt8...))
		once := make([]byte, 32)
		for i := range once {
			once[i] = scramble[i] ^ mask[i]
		}
		if again := sha256.Sum256(once); bytes.Equal(again[:], twice) {
			*seq++
			_, _ = rw.Write(packet(*seq, []byte{1, 3})) // fast
			return true
		}
	}
	*seq++
	_, _ = rw.Write(packet(*seq, []byte{1, 4})) // the whole password
	n, b := read(rw)
	*seq = n
	if !overTLS {
		if len(b) == 1 && b[0] == 2 { // a public key is asked for
			key, _ := x509.MarshalPKIXPublicKey(s.cert.PrivateKey.(*ecdsa.PrivateKey).Public())
			_, _ = rw.Write(packet(n+1, append([]byte{1}, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key})...)))
			_, _ = read(rw)
		}
		return false
	}
	s.full++
	password := bytes.TrimRight(b, "\x00")
	stored := s.users[user]
	if len(stored) != 70 || stored != cachingHash(password, []byte(stored[7:27])) {
		return false
	}
	once := sha256.Sum256(password)
	twice := sha256.Sum256(once[:])
	s.cached[user] = twice[:]
	return true
}

func (s *sql8) statements(rw io.ReadWriter) {
	for {
		_, b := read(rw)
		if len(b) < 1 || b[0] != 3 {
			return
		}
		q := string(b[1:])
		s.mu.Lock()
		version := s.version
		s.said = append(s.said, q)
		if rest, ok := strings.CutPrefix(q, "ALTER USER '"); ok {
			user, rest, _ := strings.Cut(rest, "'")
			_, rest, _ = strings.Cut(rest, " IDENTIFIED WITH caching_sha2_password AS '")
			hash, _, _ := strings.Cut(rest, "'")
			s.users[user] = hash
			delete(s.cached, user) // as the server does
		}
		s.mu.Unlock()
		if !strings.HasPrefix(q, "SELECT") {
			_, _ = rw.Write(packet(1, []byte{0, 0, 0, 2, 0, 0, 0}))
			continue
		}
		column := []byte("\x03def\x00\x00\x00\x01v\x00\x0c\x2d\x00\x00\x01\x00\x00\xfd\x00\x00\x1f\x00\x00")
		row := append([]byte{byte(len(version))}, version...)
		eof := []byte{0xfe, 0, 0, 2, 0}
		for i, p := range [][]byte{{1}, column, eof, row, eof} {
			_, _ = rw.Write(packet(byte(i+1), p))
		}
	}
}

// A password of MySQL 8 is replaced over TLS, by a hash of its own plugin.
func TestAPasswordOfMySQL8IsReplacedOverTLS(t *testing.T) {
	s := newSQL8(t)
	s.users["keeper"] = cachingHash([]byte("keeper-Zq83mPw0vXr5"), []byte(salt8))
	by := passwords{mysqlServer{}}
	j := s.job("localhost", false, login("keeper", "keeper-Zq83mPw0vXr5"))
	j.Version = login("app", "app-new-Zq83mPw0vXr5")
	if err := by.Try(t.Context(), j); !fault.Is(err, fault.Denied) {
		t.Errorf("a password that it was not told of: %v", err)
	}
	if err := by.Apply(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	for range 2 { // in full, then from its cache
		if err := by.Try(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if s.full != 3 {
		t.Errorf("%d sign-ins with the whole password", s.full)
	}
	if said := strings.Join(s.said, "\n"); strings.Contains(said, "Zq83") || !strings.Contains(said, "IDENTIFIED WITH caching_sha2_password AS '$A$005$") {
		t.Errorf("it was told %s", said)
	}
	if bytes.Contains(s.came(), []byte("keeper")) {
		t.Error("something was said before TLS")
	}
	s.mu.Lock()
	s.version = "10.11.6-MariaDB"
	s.mu.Unlock()
	err := by.Apply(t.Context(), j)
	if fips140.Enforced() { // SHA-1
		if !fault.Is(err, fault.Denied) {
			t.Errorf("in FIPS mode: %v", err)
		}
		return
	}
	if err != nil || !strings.Contains(s.said[len(s.said)-1], "mysql_native_password") {
		t.Errorf("MariaDB is told %s, %v", s.said[len(s.said)-1], err)
	}
}

// A version without a password is none that a database is told of: nobody's account is
// locked, and nobody's password taken away, by a step that sets one.
func TestAVersionWithoutAPasswordChangesNothing(t *testing.T) {
	for _, f := range []Fields{{"username": plain.New([]byte("app_a"))}, login("app_a", "")} {
		for _, by := range []passwords{{mysqlServer{}}, {postgres{}}} {
			j := Job{Rotator: resource.Rotator{SQL: &resource.SQLRotator{Host: "localhost", Port: 1, Users: []string{"app_a", "app_b"}, Network: resource.Network{AllowLoopbackHTTP: true}}},
				Admin: login("keeper", "keeper-Zq83mPw0vXr5"), Version: f, Dial: func(context.Context, string, bool) (net.Conn, error) {
					t.Error("the database was asked")
					return nil, errCut
				}}
			if err := by.Apply(t.Context(), j); !fault.Is(err, fault.Denied) {
				t.Error(err)
			}
		}
	}
}

// A server that is not the policy's, or would have the password without TLS, gets no
// part of it.
func TestADatabaseThatIsNotThePolicysGetsNoPassword(t *testing.T) {
	const password = "keeper-Zq83mPw0vXr5"
	otherCert, otherCA := certificate(t, "localhost")
	key, err := x509.MarshalPKIXPublicKey(otherCert.PrivateKey.(*ecdsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key})
	plugin := func(name, data string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write(packet(2, append(append([]byte{0xfe}, name...), "\x00"+data+"\x00"...)))
		}
	}
	for name, c := range map[string]struct {
		host  string
		ca    string
		plain bool
		noTLS bool
		odd   func(net.Conn)
		kind  fault.Kind
	}{
		"another name":           {host: "other.example", kind: fault.Unavailable},
		"another authority":      {host: "localhost", ca: otherCA, kind: fault.Unavailable},
		"no TLS":                 {host: "localhost", noTLS: true, kind: fault.Unavailable},
		"its key, without TLS":   {host: "localhost", plain: true, kind: fault.Denied},
		"a key nobody asked for": {host: "localhost", plain: true, odd: func(c net.Conn) { _, _ = c.Write(packet(2, append([]byte{1}, pemKey...))) }, kind: fault.Denied},
		"sha256_password": {host: "localhost", plain: true, odd: func(c net.Conn) {
			plugin("sha256_password", salt8)(c)
			_, _ = read(c)
			_, _ = c.Write(packet(4, append([]byte{1}, pemKey...)))
		}, kind: fault.Denied},
		"a key in two parts": {host: "localhost", plain: true, odd: func(c net.Conn) {
			p := packet(2, append([]byte{1}, pemKey...))
			_, _ = c.Write(p[:12])
			_, _ = c.Write(p[12:])
		}, kind: fault.Denied},
		"the password as it is": {host: "localhost", plain: true, odd: plugin("mysql_clear_password", ""), kind: fault.Unavailable},
		"the oldest plugin":     {host: "localhost", plain: true, odd: plugin("mysql_old_password", "12345678"), kind: fault.Unavailable},
		"no end": {host: "localhost", plain: true, odd: func(c net.Conn) {
			for n := 0; n < 4096; n++ {
				if _, err := c.Write(packet(2, make([]byte, 1<<20))); err != nil {
					return
				}
			}
		}, kind: fault.Unavailable},
		"a file of ours": {host: "localhost", plain: true, odd: func(c net.Conn) {
			_, _ = c.Write(packet(2, []byte{0, 0, 0, 2, 0, 0, 0}))
			_, _ = read(c)
			_, _ = c.Write(packet(1, []byte("\xfb/etc/passwd")))
			_, _ = read(c)
			_ = c.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSQL8(t)
			s.mu.Lock()
			s.noTLS, s.odd = c.noTLS || c.plain, c.odd
			s.mu.Unlock()
			j := s.job(c.host, c.plain, login("keeper", password))
			if c.ca != "" {
				j.Rotator.SQL.CA = c.ca
			}
			err := passwords{mysqlServer{}}.Try(t.Context(), j)
			if err == nil || c.kind != "" && !fault.Is(err, c.kind) {
				t.Errorf("it is %v (%s)", err, fault.KindOf(err))
			}
			if strings.Contains(err.Error(), "Zq83") {
				t.Errorf("the error has the password: %v", err)
			}
			host, _ := io.ReadAll(io.LimitReader(bytes.NewReader(s.came()), 1<<20))
			if bytes.Contains(host, []byte("Zq83")) || bytes.Contains(host, []byte("root:")) || s.full > 0 {
				t.Error("the server has the password, or a file")
			}
			if !c.plain && bytes.Contains(host, []byte("keeper")) {
				t.Error("the server has the user's name without TLS")
			}
			if c.plain && len(host) > 600 { // nothing as long as what a key encrypts
				t.Errorf("the server has %d bytes", len(host))
			}
		})
	}
}

// What a library can't read ends as an error.
func FuzzMySQLGreeting(f *testing.F) {
	s := &sql8{version: "8.4.3"}
	f.Add(packet(0, s.greeting()))
	f.Add(packet(0, []byte{0xff, 0x15, 0x04, '#'}))
	f.Add(append(packet(0, s.greeting()), packet(2, append([]byte{0xfe}, "mysql_native_password\x00short"...))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		j := Job{Rotator: resource.Rotator{SQL: &resource.SQLRotator{Host: "localhost", Port: 1, Network: resource.Network{AllowLoopbackHTTP: true}}},
			Version: login("keeper", "keeper-Zq83mPw0vXr5"), Dial: func(context.Context, string, bool) (net.Conn, error) {
				c, other := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, other) }()
				go func() { _, _ = other.Write(b); _ = other.Close() }()
				return c, nil
			}}
		defer func() { _ = recover() }() // the vault's own guard stands there
		if err := (passwords{mysqlServer{}}).Try(t.Context(), j); err == nil {
			t.Error("it signed in")
		}
	})
}
