package outside_test

import (
	"bufio"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
)

// TestLitewitnessCosigns runs a witness that somebody else wrote; scripts/witness.sh
// builds it, and names it here.
func TestLitewitnessCosigns(t *testing.T) {
	program := os.Getenv("SALLYPORT_TEST_LITEWITNESS")
	if program == "" {
		t.Skip("make witness runs it")
	}
	m := newMemory(t)
	m.grow(5)
	url, vkey := litewitness(t, program, m.head.Verifier)
	key, err := audit.ParseWitness(vkey)
	if err != nil {
		t.Fatal(err)
	}
	client := func() *outside.Witness {
		w, err := outside.NewWitness(url, vkey)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	k := keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{client()}, Quorum: 1})
	for _, n := range []int{0, 1, 7, 300, 5000} {
		if n > 0 {
			m.grow(n)
		}
		round(t, k)
		cp, cs, err := audit.OpenCosigned(m.cosigned, m.head.Verifier, []audit.Witness{key})
		if err != nil || cp.Size != m.head.Size || len(cs) != 1 || time.Since(cs[0].At).Abs() > time.Minute {
			t.Fatalf("%d entries: %+v, %+v, %v", m.head.Size, cp, cs, err)
		}
	}
	t.Logf("litewitness has cosigned %d entries", m.head.Size)
	m.grow(3) // after a restart of the server it says where it is
	round(t, keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{client()}, Quorum: 1}))
	if cp, _, err := audit.OpenCosigned(m.cosigned, m.head.Verifier, []audit.Witness{key}); err != nil || cp.Size != m.head.Size {
		t.Errorf("%+v, %v", cp, err)
	}
	for name, size := range map[string]int{"put back": 4, "forked": int(m.head.Size) + 20} {
		fork := newMemory(t)
		fork.do(func(b *audit.Batch) error {
			_, err := b.Append(audit.Event{Type: audit.RunStarted, Tenant: "acme", At: noon, Actor: "system:engine"})
			return err
		})
		fork.grow(size)
		fk := keeper(t, outside.Config{Store: fork, Witnesses: []*outside.Witness{client()}, Quorum: 1})
		if round(t, fk); fork.cosigned != nil || fk.Status()[0].State != outside.Failing {
			t.Errorf("%s: %+v", name, fk.Status())
		}
		t.Logf("%s: %s", name, fk.Status()[0].Why)
	}
}

// litewitness runs one that knows a log, and gives where it is and its key.
func litewitness(t *testing.T, program, log string) (url, vkey string) {
	t.Helper()
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	ring := agent.NewKeyring()
	must(ring.Add(agent.AddedKey{PrivateKey: key}))
	sock := filepath.Join(dir, "agent.sock")
	l, err := net.Listen("unix", sock)
	must(err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }()
		}
	}()
	public, err := ssh.NewPublicKey(key.Public())
	must(err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	addr := free.Addr().String()
	must(free.Close())
	db := filepath.Join(dir, "witness.db")
	cmd := exec.CommandContext(t.Context(), program, "-name", "witness.example/one", "-db", db, "-ssh-agent", sock, "-listen", addr, "-key", ssh.FingerprintSHA256(public))
	said, err := cmd.StderrPipe()
	must(err)
	must(cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(said)
	for vkey == "" && lines.Scan() {
		if m := regexp.MustCompile(`vkey="?([^" ]+)`).FindStringSubmatch(lines.Text()); m != nil {
			vkey = m[1]
		}
	}
	go func() {
		for lines.Scan() {
		}
	}()
	if vkey == "" {
		t.Fatal("the witness did not name its key")
	}
	know(t, db, log)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if resp, err := http.Get("http://" + addr + "/"); err == nil {
			_ = resp.Body.Close()
			return "http://" + addr + "/", vkey
		}
	}
	t.Fatal("the witness does not answer")
	return "", ""
}

// know tells a witness of a log, as its own tool does.
func know(t *testing.T, file, log string) {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	origin, _, _ := strings.Cut(log, "+")
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for query, args := range map[string][]any{"INSERT INTO log (origin, tree_size, tree_hash) VALUES ($1, 0, $2)": {origin, base64.StdEncoding.EncodeToString(empty[:])},
		"INSERT INTO key (origin, key) VALUES ($1, $2)": {origin, log}} {
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
}
