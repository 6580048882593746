package cli

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
)

// What the runtime writes when it ends a process goes to file descriptor 2 as it
// is: the text of a panic, and the arguments on every stack. No code of the process
// runs any more that could look at it. So the server's descriptor 2 is a pipe to a
// second process, which shows names of functions and lines of files and nothing
// else; the server's own words go to where 2 was before.

// shieldCommand is the hidden command of the second process.
const shieldCommand = "crash-report"

// shield puts the second process behind descriptor 2, and has the program's own
// words go to where it was. It does nothing where p.err is something else. Where
// there can't be a second process, the runtime's words go nowhere.
func (p *program) shield(ctx context.Context, format string) error {
	f, ok := p.err.(*os.File)
	if !ok || f.Fd() != uintptr(unix.Stderr) {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, unix.Stderr+1)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "keeping what a crash would say from standard error", err)
	}
	own := os.NewFile(uintptr(fd), f.Name())
	to, err := reporter(ctx, own, format)
	if err != nil {
		p.say("warning: what a crash would say will not be shown: %v", because(err))
		if to, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
			return fault.Wrap(fault.Unavailable, "keeping what a crash would say from standard error", err)
		}
	}
	if err := redirect(int(to.Fd()), unix.Stderr); err != nil {
		return fault.Wrap(fault.Unavailable, "keeping what a crash would say from standard error", err)
	}
	p.err = own
	return to.Close()
}

// reporter starts the second process, which ends when its standard input does. It
// has nothing of the environment, and signals of the terminal don't reach it.
func reporter(ctx context.Context, shows *os.File, format string) (*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()                                                    // the second process has its own
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, shieldCommand, format) //nolint:gosec // it is this program
	cmd.Args[0] = os.Args[0]                                                            // by which a program of several is known
	cmd.Stdin, cmd.Stderr, cmd.Env, cmd.Dir = r, shows, []string{}, "/"                 // no directory is held
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close() // nothing was written
		return nil, err
	}
	return w, nil
}

// crashReportCmd is the second process.
func (p *program) crashReportCmd() *cobra.Command {
	c := verb(shieldCommand+" FORMAT", "", "", takes(1), func(cmd *cobra.Command, args []string) error {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
		h, err := logHandler(p.err, args[0], "info")
		if err != nil {
			return err
		}
		debug.FreeOSMemory() // it waits for as long as the server runs
		reportCrash(cmd.Context(), slog.New(h), crash.ReadTrace(p.in))
		return nil
	})
	c.Hidden = true
	return c
}

// reportCrash writes the record of a process that ended.
func reportCrash(ctx context.Context, log *slog.Logger, t crash.Trace) {
	switch {
	case t.What != "" || t.Stack != "":
		log.ErrorContext(ctx, "the server was ended by the runtime", slog.String("what", t.What), slog.String("stack", t.Stack), slog.Int("hidden", t.Hidden))
	case t.Hidden > 0:
		log.WarnContext(ctx, "something else than the server's log was written to its standard error, and is not shown", slog.Int("lines", t.Hidden))
	}
}
