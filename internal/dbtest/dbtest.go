// Package dbtest starts real databases for tests: PostgreSQL and MariaDB, of the
// machine's packages, in a temporary directory, on a free port of loopback, as a
// user without rights. They end with the test.
//
// Where a database is not installed the test is skipped, with the package's name;
// scripts/need.sh installs them.
package dbtest

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a running database.
type Server struct {
	Port            int
	Admin, Password string // who may change passwords
	log             *log
	logFile         string // of statements, where the server has one
}

// log keeps what a server writes.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Log is what the server has written so far: every statement.
func (s *Server) Log() []byte {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	out := bytes.Clone(s.log.b.Bytes())
	if s.logFile != "" {
		b, _ := os.ReadFile(s.logFile) // an empty one says so to the test
		out = append(out, b...)
	}
	return out
}

// Postgres starts PostgreSQL, with the statements that setup lists.
func Postgres(t testing.TB, setup ...string) *Server {
	t.Helper()
	return postgres(t, nil, setup)
}

// PostgresTLS starts one that also speaks TLS, with the certificate.
func PostgresTLS(t testing.TB, c Certificate, setup ...string) *Server {
	t.Helper()
	return postgres(t, &c, setup)
}

func postgres(t testing.TB, cert *Certificate, setup []string) *Server {
	t.Helper()
	initdb := find(t, "postgresql", "initdb", "/usr/lib/postgresql/*/bin/initdb", "/usr/local/bin/initdb")
	s, dir, run := prepare(t, "postgres")
	pw := filepath.Join(dir, "pw")
	run.write(t, pw, s.Password)
	data := filepath.Join(dir, "data")
	run.run(t, initdb, "-D", data, "-U", s.Admin, "--pwfile="+pw, "-A", "scram-sha-256", "--no-sync", "--locale=C")
	bin := filepath.Dir(initdb)
	args := []string{"-D", data, "-p", strconv.Itoa(s.Port), "-k", dir, "-h", "127.0.0.1", "-c", "fsync=off", "-c", "log_statement=all", "-c", "max_connections=200"}
	if cert != nil {
		chain, key := cert.write(t, run, dir)
		args = append(args, "-c", "ssl=on", "-c", "ssl_cert_file="+chain, "-c", "ssl_key_file="+key)
	}
	s.start(t, run, filepath.Join(bin, "postgres"), args...)
	for _, stmt := range setup {
		c := run.command(t.Context(), filepath.Join(bin, "psql"), "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", s.Admin, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", stmt)
		c.Env = append(c.Env, "PGPASSWORD="+s.Password)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return s
}

// MariaDB starts MariaDB, with the statements that setup lists.
func MariaDB(t testing.TB, setup ...string) *Server {
	t.Helper()
	return mariadb(t, nil, setup)
}

// MariaDBTLS starts one that also speaks TLS, with the certificate.
func MariaDBTLS(t testing.TB, c Certificate, setup ...string) *Server {
	t.Helper()
	return mariadb(t, &c, setup)
}

func mariadb(t testing.TB, cert *Certificate, setup []string) *Server {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("MariaDB's passwords are SHA-1, which is refused in FIPS 140-only mode: package rotator's tests show it")
	}
	install := find(t, "mariadb-server", "mariadb-install-db", "/usr/bin/mariadb-install-db")
	daemon := find(t, "mariadb-server", "mariadbd", "/usr/sbin/mariadbd")
	s, dir, run := prepare(t, "mysql")
	data, first := filepath.Join(dir, "data"), filepath.Join(dir, "first.sql")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	run.own(t, data)
	run.run(t, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	text := fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION;\n", s.Admin, s.Password, s.Admin)
	for _, stmt := range setup {
		text += stmt + ";\n"
	}
	run.write(t, first, text)
	s.logFile = filepath.Join(data, "statements.log")
	args := []string{"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "s"),
		"--general-log=1", "--general-log-file=" + s.logFile, "--init-file=" + first, "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", "--pid-file=" + filepath.Join(dir, "pid")}
	if cert != nil {
		chain, key := cert.write(t, run, dir)
		args = append(args, "--ssl-cert="+chain, "--ssl-key="+key)
	}
	s.start(t, run, daemon, args...)
	return s
}

// find gives a program of a package, or skips the test.
func find(t testing.TB, pkg, name string, patterns ...string) string {
	t.Helper()
	for _, p := range patterns {
		if l, err := filepath.Glob(p); err == nil && len(l) > 0 {
			return l[len(l)-1]
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	t.Skipf("%s is not installed: apt-get install %s (scripts/need.sh does)", name, pkg)
	return ""
}

// runner runs programs, as another user where we are root: neither database runs
// as root.
type runner struct{ who *syscall.Credential }

func (r runner) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, path, args...) //nolint:gosec // G204: a database's own programs
	c.Env, c.Dir = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: r.who}
	return c
}

func (r runner) run(t testing.TB, path string, args ...string) {
	t.Helper()
	if out, err := r.command(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", filepath.Base(path), err, out)
	}
}

func (r runner) own(t testing.TB, path string) {
	t.Helper()
	if r.who == nil {
		return
	}
	if err := os.Chown(path, int(r.who.Uid), int(r.who.Gid)); err != nil {
		t.Fatal(err)
	}
}

// write makes a file of the database's user.
func (r runner) write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.own(t, path)
}

func prepare(t testing.TB, account string) (*Server, string, runner) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-db") //nolint:usetesting // another user has to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := runner{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup(account)
		if err != nil {
			t.Skipf("there is no user %s to run the database as", account)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		r.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	r.own(t, dir)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // G101: of a database that ends with the test
	return &Server{Port: addr.Port, Admin: "keeper", Password: "kq7-first-of-the-keeper-2", log: &log{}}, dir, r
}

// startTime bounds how long a database takes to come up, on a slow machine.
const startTime = 2 * time.Minute

// start runs the server until the test ends, and waits for its port.
func (s *Server) start(t testing.TB, r runner, path string, args ...string) {
	t.Helper()
	c := r.command(context.WithoutCancel(t.Context()), path, args...)
	c.Stdout, c.Stderr = s.log, s.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGQUIT) // PostgreSQL ends at once; MariaDB takes the next one
		if path[len(path)-8:] != "postgres" {
			_ = c.Process.Kill()
		}
		<-done //nolint:errcheck // it was told to end
	})
	limit, look := time.After(startTime), time.NewTicker(50*time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the database ended: %v: %s", err, s.Log())
		case <-limit:
			t.Fatalf("the database does not come up: %s", s.Log())
		case <-look.C:
		}
		if s.answers(t.Context()) {
			return
		}
	}
}

// answers says that the server takes connections: PostgreSQL says so in its log, as
// it takes connections before it is ready; MariaDB greets.
func (s *Server) answers(ctx context.Context) bool {
	if s.logFile == "" {
		return bytes.Contains(s.Log(), []byte("ready to accept connections"))
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)))
	if err != nil {
		return false
	}
	defer c.Close() //nolint:errcheck // it was only looked at
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 1 && (err == nil || !errors.Is(err, net.ErrClosed))
}
