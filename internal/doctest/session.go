package doctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// closeWithin is how long a command that is interrupted may take to end.
const closeWithin = 20 * time.Second

// Session runs blocks as a reader would: in one directory, one after the other,
// with what goes on in the background.
type Session struct {
	dir        string
	env        []string
	out        io.Writer
	background []*command
}

// Open starts a session in a directory, with an environment as os.Environ gives
// it. What commands print goes to out too.
func Open(dir string, env []string, out io.Writer) *Session {
	return &Session{dir: dir, env: env, out: &locked{w: out}}
}

// Run runs one block with "bash -euo pipefail". The error names the file and
// line, and has the end of what the block printed. When ctx ends, the block's
// processes are killed.
func (s *Session) Run(ctx context.Context, b Block) error {
	if b.Skip != "" {
		return nil
	}
	c, err := s.start(b)
	if err != nil {
		return err
	}
	if b.Until != "" {
		select {
		case <-c.seen:
			s.background = append(s.background, c)
			return nil
		case <-c.ended:
			return c.failed("ended before its output had %q", b.Until)
		case <-ctx.Done():
			c.signal(syscall.SIGKILL)
			<-c.ended
			return c.failed("its output did not have %q in time", b.Until)
		}
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.signal(syscall.SIGKILL)
		<-c.ended
		return c.failed("it did not end in time")
	}
	if c.code() != b.Exit {
		return c.failed("exit code %d, not %d", c.code(), b.Exit)
	}
	return nil
}

// Close interrupts what goes on in the background, as Ctrl-C does, the last
// first. An error says what did not end well.
func (s *Session) Close() error {
	var all error
	for i := len(s.background) - 1; i >= 0; i-- {
		c := s.background[i]
		c.signal(syscall.SIGINT)
		select {
		case <-c.ended:
			if code := c.code(); code != 0 && code != 130 {
				all = errors.Join(all, c.failed("exit code %d after an interrupt", code))
			}
		case <-time.After(closeWithin):
			c.signal(syscall.SIGKILL)
			<-c.ended
			all = errors.Join(all, c.failed("it did not end after an interrupt"))
		}
	}
	s.background = nil
	return all
}

// command is one block that was started.
type command struct {
	block Block
	cmd   *exec.Cmd
	out   *watch
	seen  chan struct{} // closed when the output has the block's text
	ended chan struct{} // closed when the process has ended
}

func (s *Session) start(b Block) (*command, error) {
	c := &command{block: b, seen: make(chan struct{}), ended: make(chan struct{})}
	c.out = &watch{text: b.Until, seen: c.seen}
	c.cmd = exec.Command("bash", "-euo", "pipefail", "-c", b.Text) //nolint:gosec,noctx // running the documents is what this is for; the session ends it, by its group
	c.cmd.Dir, c.cmd.Env = s.dir, s.env
	both := io.MultiWriter(c.out, s.out)
	c.cmd.Stdout, c.cmd.Stderr = both, both
	c.cmd.WaitDelay = closeWithin
	// A group of its own: a signal reaches what bash started too.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", b.File, b.Line, err)
	}
	go func() {
		_ = c.cmd.Wait() // the code is looked at
		close(c.ended)
	}()
	return c, nil
}

func (c *command) signal(sig syscall.Signal) { _ = syscall.Kill(-c.cmd.Process.Pid, sig) }

// code is the exit code, as a shell gives it; valid when the process has ended.
func (c *command) code() int {
	if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *command) failed(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s\n$ %s%s", c.block.File, c.block.Line, fmt.Sprintf(format, args...),
		c.block.Text, c.out.tail())
}

// watch keeps the end of what is written, and tells when a text went by.
type watch struct {
	mu   sync.Mutex
	text string
	seen chan struct{} // nil when it was closed
	kept []byte
}

// keep is how much of the output is kept; a text to wait for is shorter.
const keep = 16 << 10

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, p...)
	if w.seen != nil && w.text != "" && bytes.Contains(w.kept, []byte(w.text)) {
		close(w.seen)
		w.seen = nil
	}
	if len(w.kept) > keep {
		w.kept = bytes.Clone(w.kept[len(w.kept)-keep:])
	}
	return len(p), nil
}

func (w *watch) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.ToValidUTF8(string(w.kept), "?")
}

// locked lets several commands write to one writer.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
