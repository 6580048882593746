package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"sallyport.dev/internal/identity"
)

// code VAR OTPAUTH: a one-time code that was not used yet. Codes are good a step
// early or late, so that three in a row seldom wait: the first is the one of the
// step before, as long as it stays good for a while.
func code(ts *testscript.TestScript, _ bool, args []string) {
	w, uri := worldOf(ts), args[1]
	now := time.Now().Unix()
	const while = 12 // seconds
	step := max(w.codes[uri]+1, (now+while)/30-1)
	if early := (step-1)*30 - now; early > 0 {
		<-time.After(time.Duration(early) * time.Second)
	}
	w.codes[uri] = step
	c, err := codeAt(uri, step)
	ts.Check(err)
	ts.Setenv(args[0], c)
}

// codeAt is the one-time code of a step.
func codeAt(uri string, step int64) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	if err != nil {
		return "", err
	}
	return identity.Code(secret, identity.Algorithm(u.Query().Get("algorithm")), time.Unix(step*30, 0))
}

// take VAR PATH...: a field of the last command's JSON, or with a number the
// element of a list.
func take(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, key := range args[1:] {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(in) {
				ts.Fatalf("there is no element %s", key)
			}
			v = in[i]
		default:
			ts.Fatalf("there is no %s", key)
		}
	}
	s, ok := v.(string)
	if !ok || s == "" {
		ts.Fatalf("it is no text: %v", v)
	}
	ts.Setenv(args[0], s)
}

// put FILE LINE...: writes a file.
func put(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o600))
}

// mode PERM FILE.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has the mode %s", args[1], got)
	}
}

// empty DIR: it is there, and nothing is in it.
func empty(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s has %s", args[0], e.Name())
	}
}

// spoil DIR INDEX: flips one bit of an entry of the audit log.
func spoil(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(ts.MkAbs(args[0]), "sallyport.db")+"?_pragma=busy_timeout(5000)")
	ts.Check(err)
	var entry []byte
	ts.Check(db.QueryRow("SELECT entry FROM audit_entry WHERE idx = $1", args[1]).Scan(&entry))
	entry[len(entry)/2] ^= 1
	res, err := db.Exec("UPDATE audit_entry SET entry = $1 WHERE idx = $2", entry, args[1])
	ts.Check(err)
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		ts.Fatalf("%d rows, %v", n, err)
	}
	ts.Check(db.Close())
}

// unseen FILE...: the secret in each file is in no other file of the script's
// world, and in nothing that a command printed, in any usual encoding.
func unseen(ts *testscript.TestScript, _ bool, args []string) {
	planted := map[string]bool{}
	forms := map[string]string{}
	for _, name := range args {
		planted[ts.MkAbs(name)] = true
		for form, s := range encodings(strings.TrimSuffix(ts.ReadFile(name), "\n")) {
			forms[s] = name + " as " + form
		}
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.Getenv("WORK"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || planted[path] {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for s, what := range forms {
			if bytes.Contains(b, []byte(s)) {
				ts.Fatalf("%s has the secret of %s", path, what)
			}
		}
		return nil
	}))
	if files < 3 {
		ts.Fatalf("only %d files were searched", files)
	}
}

func encodings(s string) map[string]string {
	out := map[string]string{
		"itself": s, "hex": hex.EncodeToString([]byte(s)), "capital hex": strings.ToUpper(hex.EncodeToString([]byte(s))),
		"a query's part": url.QueryEscape(s), "a path's part": url.PathEscape(s),
	}
	for shift := range 3 { // base64 of it at each alignment, without the ends that depend on what is around
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			e := enc.EncodeToString([]byte(strings.Repeat("x", shift) + s))
			from, to := 0, (shift+len(s))/3*4
			if shift > 0 {
				from = 4
			}
			out[fmt.Sprintf("%s+%d", name, shift)] = e[from:to]
		}
	}
	return out
}

// childless [soon]: no process is left that was started for this script.
func childless(ts *testscript.TestScript, _ bool, args []string) {
	left := processes(ts)
	for deadline := time.Now().Add(10 * time.Second); len(args) > 0 && left != "" && time.Now().Before(deadline); left = processes(ts) {
		<-time.After(50 * time.Millisecond)
	}
	if left != "" {
		ts.Fatalf("a process goes on: %s", left)
	}
}

// processes is the command line of a process of this script, or "".
func processes(ts *testscript.TestScript) string {
	dirs, err := filepath.Glob("/proc/[0-9]*") // none where there is no such file system
	ts.Check(err)
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && bytes.Contains(line, []byte(ts.Getenv("WORK"))) {
			return string(bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
	return ""
}

// certificate CERT KEY: files with a certificate for 127.0.0.1 that signs itself.
func certificate(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for i, b := range []*pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(b), 0o600))
	}
}
