package proccred_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/confine"
)

// TestMain is also the process that becomes a child, and the child: a server of
// every fault that one may have.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case confine.Command:
			_ = confine.Become()
			os.Exit(1)
		case "fake-server":
			serve(os.Args[2:])
			os.Exit(0)
		case "linger": // a grandchild that does not mind its parent's end; it holds its pipes, and reads nothing that is its parent's
			<-time.After(time.Hour)
		}
	}
	os.Exit(m.Run())
}

type message struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  map[string]any  `json:"params,omitempty"`
	Result  any             `json:"result,omitempty"`
	Error   any             `json:"error,omitempty"`
}

// fake is the server.
type fake struct {
	mu   sync.Mutex
	in   *bufio.Reader
	held []message
	said []string // methods of notifications
}

func (f *fake) put(m message) {
	m.JSONRPC = "2.0"
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(os.Stdout, "%s\n", b)
}

func serve(args []string) {
	f := &fake{in: bufio.NewReader(os.Stdin)}
	if len(args) > 0 && args[0] == "die-at-once" {
		fmt.Fprintln(os.Stderr, "no configuration", os.Getenv("TOKEN"))
		os.Exit(7)
	}
	fmt.Fprintln(os.Stdout, "Welcome to the fake server", os.Getenv("TOKEN"))
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			panic(err)
		}
		if m.ID == nil {
			f.said = append(f.said, m.Method+fmt.Sprint(m.Params["requestId"]))
			continue
		}
		if m.Method == "" {
			f.put(message{ID: f.held[0].ID, Result: m})
			f.held = nil
			continue
		}
		f.do(m)
	}
}

func text(m message, name string) string { s, _ := m.Params[name].(string); return s }

// do answers one request, or doesn't.
func (f *fake) do(m message) {
	secret := os.Getenv("TOKEN")
	answer := func(v any) { f.put(message{ID: m.ID, Result: map[string]any{"got": v}}) }
	tried := func(err error) {
		if err != nil {
			answer("refused: " + err.Error())
			return
		}
		answer("done")
	}
	switch m.Method {
	case "initialize":
		f.said = append(f.said, "initialize")
		answer(map[string]any{"pid": os.Getpid()})
	case "echo":
		if len(f.held) == 1 && f.held[0].Method == "gossip" {
			f.put(message{Method: "notifications/message", Params: map[string]any{"data": "about " + text(f.held[0], "about")}})
			f.held = nil
		}
		answer(m.Params)
	case "said":
		answer(f.said)
	case "pid":
		answer(os.Getpid())
	case "environment":
		answer(os.Environ())
	case "arguments":
		answer(os.Args)
	case "file":
		b, err := os.ReadFile(secret)
		answer(fmt.Sprintf("%s %v", b, err))
	case "error":
		f.put(message{ID: m.ID, Error: map[string]any{"code": -32000, "message": "can't sign in with " + secret, "data": map[string]any{"token": secret}}})
	case "halves": // the secret in two notifications of one channel
		for _, part := range []string{secret[:len(secret)/2], secret[len(secret)/2:]} {
			f.put(message{Method: "notifications/message", Params: map[string]any{"level": "info", "data": part}})
		}
		answer("done")
	case "progress":
		meta, _ := m.Params["_meta"].(map[string]any)
		f.put(message{Method: "notifications/progress", Params: map[string]any{"progressToken": meta["progressToken"], "progress": 1, "message": text(m, "say")}})
		answer(text(m, "say"))
	case "collect": // answers the last of n first
		if f.held = append(f.held, m); len(f.held) == int(m.Params["n"].(float64)) {
			for i := len(f.held) - 1; i >= 0; i-- {
				f.put(message{ID: f.held[i].ID, Result: f.held[i].Params})
			}
			f.held = nil
		}
	case "wrong-id":
		f.put(message{ID: json.RawMessage(`"` + strings.Trim(string(m.ID), `"`) + `"`), Result: "of a string"})
		f.put(message{ID: json.RawMessage(string(m.ID) + "000"), Result: "of nobody"})
		answer("mine")
		answer("again")
	case "ask":
		f.held = []message{m}
		f.put(message{ID: json.RawMessage(`"q1"`), Method: "elicitation/create", Params: map[string]any{"message": "which one?"}})
	case "ping-me":
		f.put(message{ID: json.RawMessage(`"p1"`), Method: "ping"})
		line, _ := f.in.ReadString('\n')
		answer(line)
	case "never":
	case "gossip": // speaks of a call that is never answered when the next one comes
		f.held = []message{m}
	case "deaf":
		<-time.After(time.Hour) // with nothing to wait for the runtime would end the process
	case "die":
		os.Exit(3)
	case "die-in-the-middle":
		fmt.Fprint(os.Stdout, `{"jsonrpc":"2.0","id":`, string(m.ID), `,"result":{"got":"`, secret)
		os.Exit(3)
	case "stream-and-die":
		f.put(message{Method: "notifications/message", Params: map[string]any{"data": "first"}})
		os.Exit(3)
	case "flood":
		junk := []byte(strings.Repeat("x", 1<<20))
		for range 1 << 10 {
			if _, err := os.Stdout.Write(junk); err != nil {
				break
			}
		}
	case "many":
		for i := range 2000 {
			f.put(message{Method: "notifications/message", Params: map[string]any{"data": i}})
		}
		answer("done")
	case "stderr":
		fmt.Fprintf(os.Stderr, "my token is %s\nand in hex %x\n\x1b[31mred\x1b[0m\n%s\n", secret, secret, strings.Repeat("long ", 10_000))
		os.Stderr.Close()
		answer("done")
	case "read":
		b, err := os.ReadFile(text(m, "path"))
		if err == nil {
			answer("read " + string(b[:min(len(b), 20)]))
			return
		}
		tried(err)
	case "write":
		tried(os.WriteFile(text(m, "path"), []byte("written"), 0o600))
	case "truncate":
		tried(os.Truncate(text(m, "path"), 0))
	case "dial":
		c, err := net.DialTimeout(text(m, "network"), text(m, "address"), 2*time.Second)
		if err == nil {
			_ = c.Close()
		}
		tried(err)
	case "descriptors":
		var open []string
		for fd := range 64 {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) == nil && fd < 16 {
				flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				if flags&unix.FD_CLOEXEC == 0 { // the runtime's own close at exec
					open = append(open, fmt.Sprint(fd))
				}
			}
		}
		answer(open)
	case "limits":
		got := map[string]uint64{}
		for name, what := range map[string]int{"core": unix.RLIMIT_CORE, "data": unix.RLIMIT_DATA, "files": unix.RLIMIT_NOFILE, "size": unix.RLIMIT_FSIZE} {
			var l unix.Rlimit
			_ = unix.Getrlimit(what, &l)
			got[name] = l.Max
		}
		answer(got)
	case "memory":
		b := make([]byte, int(m.Params["bytes"].(float64)))
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		runtime.KeepAlive(b)
		answer(len(b))
	case "signal":
		tried(syscall.Kill(os.Getppid(), 0))
	case "leave":
		_, err := syscall.Setsid()
		if err == nil {
			err = syscall.Setpgid(0, 0)
		}
		tried(err)
	case "grandchild":
		cmd := exec.Command(os.Args[0], "linger")
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		if err := cmd.Start(); err != nil {
			tried(err)
			return
		}
		answer(cmd.Process.Pid)
	case "exec":
		out, err := exec.Command(text(m, "path")).CombinedOutput()
		answer(fmt.Sprintf("%s %v", out, err))
	default:
		f.put(message{ID: m.ID, Error: map[string]any{"code": -32601, "message": "no such method"}})
	}
}
