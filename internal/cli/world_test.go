package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type worldKey struct{}

// world is what a script has besides its files.
type world struct {
	env        *testscript.Env
	transcript string // file with all that commands printed
	servers    map[string]*process
	codes      map[string]int64 // the last used step, by otpauth URI
	api        *httptest.Server
	token      string // that the system accepts
	mu         sync.Mutex
	got        map[string]int // requests that the system accepted, by method and path
}

func newWorld(e *testscript.Env) *world {
	w := &world{env: e, transcript: filepath.Join(e.WorkDir, "transcript"), servers: map[string]*process{}, codes: map[string]int64{}, got: map[string]int{}}
	e.Defer(func() {
		for _, s := range w.servers {
			_ = s.cmd.Process.Kill()
			for range s.done { // until it is closed; how a killed process ended says nothing
			}
		}
		if w.api != nil {
			w.api.Close()
		}
	})
	return w
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// record keeps what a command printed, for unseen.
func (w *world) record(ts *testscript.TestScript) {
	f, err := os.OpenFile(w.transcript, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = io.WriteString(f, ts.ReadFile("stdout")+ts.ReadFile("stderr"))
	ts.Check(err)
	ts.Check(f.Close())
}

// exits CODE COMMAND ARG...: runs a command that has to end with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	if got := run(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("it ended with the exit code %d, and %s was expected", got, args[0])
	}
}

// until CODE COMMAND ARG...: runs a command again and again until it ends with
// the code.
func until(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for got := run(ts, args[1:]); strconv.Itoa(got) != args[0]; got = run(ts, args[1:]) {
		if time.Now().After(deadline) {
			ts.Fatalf("after half a minute it still ends with the exit code %d", got)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func run(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	worldOf(ts).record(ts)
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		ts.Fatalf("%s: %v", args[0], err)
	}
	return exit.ExitCode()
}

// process is a sallyport that runs in the background.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// background NAME ARG...: starts "sallyport --json ARG..." and waits for its line
// that says it is ready. $NAME_URL is where it is; $NAME_PASSWORD and
// $NAME_OTPAUTH are of its first account, where it made one. Its output goes to
// the files NAME.out and NAME.err.
func background(ts *testscript.TestScript, _ bool, args []string) {
	w, name := worldOf(ts), args[0]
	path, err := exec.LookPath("sallyport")
	ts.Check(err)
	cmd := exec.Command(path, append([]string{"--json"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, v := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "GODEBUG"} {
		cmd.Env = append(cmd.Env, v+"="+ts.Getenv(v))
	}
	stderr, err := os.OpenFile(ts.MkAbs(name+".err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	cmd.Stderr = stderr
	stdout, err := os.OpenFile(ts.MkAbs(name+".out"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)
	ready := &firstLine{file: stdout, line: make(chan []byte, 1)}
	cmd.Stdout = ready
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, done: make(chan error, 1)}
	w.servers[name] = p
	go func() {
		p.done <- cmd.Wait()
		close(p.done)
		_ = stderr.Close()
		_ = stdout.Close()
	}()
	var r struct{ URL string }
	select {
	case line := <-ready.line:
		ts.Check(json.Unmarshal(line, &r))
	case err := <-p.done:
		ts.Fatalf("it ended before it was ready: %v\n%s", err, ts.ReadFile(name+".err"))
	case <-time.After(time.Minute):
		ts.Fatalf("it is not ready after a minute\n%s", ts.ReadFile(name+".err"))
	}
	ts.Setenv(name+"_URL", r.URL)
	_, addr, _ := strings.Cut(r.URL, "//")
	ts.Setenv(name+"_ADDR", addr) // for a start at the same port
	for line := range strings.Lines(ts.ReadFile(name + ".err")) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "password "); ok {
			ts.Setenv(name+"_PASSWORD", strings.TrimSpace(v))
		}
		if v, ok := strings.CutPrefix(line, "one-time codes "); ok {
			ts.Setenv(name+"_OTPAUTH", strings.TrimSpace(v))
		}
	}
}

// firstLine writes to a file, and hands out the first line.
type firstLine struct {
	file *os.File
	buf  []byte
	line chan []byte
	sent bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if !f.sent {
		f.buf = append(f.buf, b...)
		if line, _, ok := bytes.Cut(f.buf, []byte("\n")); ok {
			f.sent = true
			f.line <- line
		}
	}
	return f.file.Write(b)
}

// interrupt NAME: presses Ctrl-C, and the process has to end well.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	p := worldOf(ts).servers[args[0]]
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-p.done:
		if err != nil {
			ts.Fatalf("it ended with %v\n%s", err, ts.ReadFile(args[0]+".err"))
		}
	case <-time.After(30 * time.Second):
		ts.Fatalf("it goes on half a minute after Ctrl-C")
	}
	delete(worldOf(ts).servers, args[0])
}

// crash NAME: ends the process as a crash would.
func crash(ts *testscript.TestScript, _ bool, args []string) {
	p := worldOf(ts).servers[args[0]]
	ts.Check(p.cmd.Process.Kill())
	for range p.done { // until it is closed; how a killed process ended says nothing
	}
	delete(worldOf(ts).servers, args[0])
}

// system TOKEN-FILE: starts a system that takes the token, as a bearer's. It
// echoes what it received, credential included.
func system(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	w.token = strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	w.api = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		ok := r.Header.Get("Authorization") == "Bearer "+w.token
		if ok {
			w.got[r.Method+" "+r.URL.Path]++
		}
		w.mu.Unlock()
		if !ok {
			http.Error(rw, "who are you", http.StatusUnauthorized)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"ok":true,"echo":%q}`, r.Header.Get("Authorization"))
	}))
	ts.Setenv("API_URL", w.api.URL)
}

// received N METHOD PATH: the system took exactly so many of these requests.
func received(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.got[args[1]+" "+args[2]]; strconv.Itoa(n) != args[0] {
		ts.Fatalf("the system received it %d times", n)
	}
}
