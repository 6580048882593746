// Package program runs a program of the operator's that is given keys or
// credentials: on its standard input, never as arguments or in its environment. It
// gets the configured environment, standard input, output and error, no other
// descriptor, and "/" as its working directory; when its time is up, it and what it
// started are killed.
//
// It refuses a program that others than root and the server's user could change,
// or put another one in the place of.
//
// # Security
//
// What a program writes is read into one buffer each, so that no copy of a secret
// is left elsewhere; who calls wipes it.
package program

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/safe"
)

// Command is one start of a program.
type Command struct {
	Path string // links are followed already, see Find
	Args []string
	Env  []string // all of it; not nil, which would be our own
	Time time.Duration
	// Out and Said are how many bytes of standard output are taken, and of standard
	// error looked at. More output than that ends the program.
	Out, Said int
}

// Ended is how it came to an end.
type Ended struct {
	Out, Said *Sink
	NoStart   bool            // it could not be started
	Late      bool            // its time was up
	Left      bool            // it ended, and left another that holds its output
	Lost      bool            // it could not be waited for
	Exit      *exec.ExitError // nil: it ended well
}

// Wipe clears what it wrote.
func (e Ended) Wipe() {
	e.Out.wipe()
	e.Said.wipe()
}

// afterwards is how long a program that has ended may have others hold its
// output.
const afterwards = 2 * time.Second

// Run starts the program with in as its input, and waits for it.
func Run(ctx context.Context, c Command, in []byte) Ended {
	ctx, cancel := context.WithTimeout(ctx, c.Time)
	defer cancel()
	e := Ended{Out: &Sink{limit: c.Out, full: cancel}, Said: &Sink{limit: c.Said}}
	cmd := exec.CommandContext(ctx, c.Path, c.Args...) //nolint:gosec // G204: the operator's program, which nobody else can change
	cmd.Env, cmd.Dir = c.Env, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), e.Out, e.Said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterwards
	keepDescriptors()
	if err := cmd.Start(); err != nil {
		e.NoStart = true
		return e
	}
	err := cmd.Wait()
	e.Left = errors.Is(err, exec.ErrWaitDelay)
	if e.Left {
		// The group still has the process that holds the pipe, and so its number.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	e.Late = ctx.Err() != nil
	var exited bool
	e.Exit, exited = errors.AsType[*exec.ExitError](err)
	e.Lost = err != nil && !exited && !e.Left
	return e
}

// Find gives the file to start: links are followed first, so that what was
// checked is what is started.
func Find(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fault.Newf(fault.Unavailable, "%s is not there", fault.Quote(path))
	}
	return real, safe.Unwritable(real)
}
