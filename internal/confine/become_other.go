//go:build unix && !linux

package confine

import (
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// become sets the limits and executes the program. This system has no sandbox that
// a process could put itself in.
func become(s Spec, tell func(Report) error) error {
	if s.Demand {
		return fault.New(fault.Denied, "this system can't hold a child to its paths and its network").
			WithHint("only Linux can; sandbox: best-effort in the Integration runs the child with its limits alone")
	}
	unix.Umask(0o077)
	if err := unix.Chdir(s.Dir); err != nil {
		return fault.Newf(fault.Invalid, "the child's directory %s can't be entered", fault.Quote(s.Dir))
	}
	if err := limit(s); err != nil {
		return err
	}
	if err := unguarded(s, append(append([]string{}, s.Read...), s.Write...)); err != nil {
		return err
	}
	from := SecretFD
	if s.Secret {
		from++
	}
	for fd := from; fd < 256; fd++ { // Go's own close by themselves; others have low numbers
		unix.CloseOnExec(fd)
	}
	if err := tell(Report{}); err != nil {
		return fault.New(fault.Unavailable, "nobody waits for the child")
	}
	_ = syscall.Exec(s.Command[0], s.Command, s.env()) //nolint:gosec // G204: the operator's program
	return fault.Newf(fault.Invalid, "the child's program %s can't be executed", fault.Quote(s.Command[0]))
}

// tasks is not known here: the limit is of what the user may have in all.
func tasks() int64 { return 0 }
