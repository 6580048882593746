package kek

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"syscall"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/safe"
)

// execTimeout is for one process: key services and their sign-ins take seconds.
var execTimeout = 30 * time.Second

// afterwards is how long a program that has ended may have others hold its
// output.
const afterwards = 2 * time.Second

// ask starts the program for one operation. It gets the configured environment,
// standard input, output and error, no other descriptor, and "/" as its working
// directory; when its time is up, it and what it started are killed.
func (e *Exec) ask(ctx context.Context, op string, aad box.AAD, payload []byte) (execAnswer, error) {
	path, err := e.program()
	if err != nil {
		return execAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	in := execRequest(op, aad, payload)
	defer clear(in)
	out := &sink{limit: maxExecAnswer, full: cancel}
	said := &sink{limit: maxStderr}
	defer out.wipe()
	defer said.wipe()

	cmd := exec.CommandContext(ctx, path, e.cfg.Args...) //nolint:gosec // G204: the operator's program, which nobody else can change
	cmd.Env, cmd.Dir = e.env, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterwards
	keepDescriptors()
	if err := cmd.Start(); err != nil {
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program can't be started").
			WithHint("%s has to be executable by the server's user", fault.Quote(path))
	}
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		// The group still has the process that holds the pipe, and so its number.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return finished(ctx, op, err, out, said)
}

// finished makes an answer or an error of what a process left.
func finished(ctx context.Context, op string, err error, out, said *sink) (execAnswer, error) {
	exited, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case out.over:
		return execAnswer{}, fault.Newf(fault.Invalid, "the answer of the seal's program is longer than %d bytes", maxExecAnswer)
	case ctx.Err() != nil:
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program took too long to "+op+", and was killed")
	case errors.Is(err, exec.ErrWaitDelay):
		return execAnswer{}, fault.New(fault.Invalid, "the seal's program ended and left another that holds its output")
	case err != nil && !ended:
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program could not be waited for")
	}
	a, parsed := parseExec(op, out.bytes())
	if !ended {
		return a, parsed
	}
	clear(a.Plaintext)
	if parsed != nil && reports(out.bytes()) {
		return execAnswer{}, parsed // it says more than the exit code
	}
	msg := "the seal's program ended with " + exited.String()
	if words := tell(said.bytes()); words != "" {
		msg += ": " + words
	}
	return execAnswer{}, fault.New(fault.Unavailable, msg)
}

// reports tells whether an answer is a well-formed error.
func reports(b []byte) bool {
	var a execAnswer
	err := safe.Strict(b, &a)
	clear(a.Plaintext)
	return err == nil && a.Error != nil
}

// sink keeps the first bytes that a program writes. It reads into one buffer, so
// that no copy of a secret is left elsewhere. Beyond the limit it calls full, or
// without one drops the rest.
type sink struct {
	limit int
	full  func()
	b     []byte
	over  bool
}

// ReadFrom reads to the end; os/exec calls it.
func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	if s.b == nil {
		s.b = make([]byte, 0, s.limit)
	}
	for {
		if len(s.b) == cap(s.b) {
			return int64(len(s.b)), s.rest(r)
		}
		n, err := r.Read(s.b[len(s.b):cap(s.b)])
		s.b = s.b[:len(s.b)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return int64(len(s.b)), err
		}
	}
}

// rest is what comes after the limit.
func (s *sink) rest(r io.Reader) error {
	var more [1]byte
	n, err := io.ReadFull(r, more[:])
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
	s.over = true
	if s.full != nil {
		s.full()
		return nil
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// Write is there for io.Copy, which takes ReadFrom where it can.
func (s *sink) Write(p []byte) (int, error) {
	_, err := s.ReadFrom(bytes.NewReader(p))
	return len(p), err
}

func (s *sink) bytes() []byte { return s.b }

func (s *sink) wipe() { clear(s.b[:cap(s.b)]) }
