package confine

import (
	"errors"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// become gives everything up, in an order in which each step is still allowed to,
// and executes the program. All of it is of this thread, which execve makes the
// process's only one.
func become(s Spec, tell func(Report) error) error {
	runtime.LockOSThread()
	unix.Umask(0o077)
	if err := unix.Chdir(s.Dir); err != nil {
		return fault.Newf(fault.Invalid, "the child's directory %s can't be entered: %s", fault.Quote(s.Dir), errno(err))
	}
	if err := limit(s); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fault.New(fault.Unavailable, "the kernel does not take privileges from a child for good")
	}
	if err := unguarded(s, append(append(append([]string{s.Command[0]}, system...), s.Read...), s.Write...)); err != nil {
		return err
	}
	var r Report
	var err error
	if r.Landlock, err = landlock(s); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	r.Filter = filter(s.Network)
	if s.Demand && !r.Whole() {
		return fault.Newf(fault.Denied, "this kernel can't hold a child to its paths and its network (Landlock ABI %d, filter %t)", r.Landlock, r.Filter).
			WithHint("it takes Landlock of Linux 6.2 or later; sandbox: best-effort in the Integration runs the child with what there is")
	}
	if err := closeRest(s.Secret); err != nil {
		return err
	}
	if err := tell(r); err != nil {
		return fault.New(fault.Unavailable, "nobody waits for the child")
	}
	err = syscall.Exec(s.Command[0], s.Command, s.env()) //nolint:gosec // G204: the operator's program
	return fault.Newf(fault.Invalid, "the child's program %s can't be executed: %s", fault.Quote(s.Command[0]), errno(err)).
		WithHint("it, and the interpreter that its first line names, have to be executable for the server's user, and below the system's directories or those under read")
}

// closeRest has execve close every descriptor that is not the program's.
func closeRest(secret bool) error {
	from := uint(SecretFD)
	if secret {
		from++
	}
	if err := unix.CloseRange(from, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fault.New(fault.Unavailable, "the kernel can't close a child's descriptors").WithHint("it takes Linux 5.11 or later")
	}
	return nil
}

// errno is the system's word for an error, without the path that Go adds.
func errno(err error) string {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if errors.Is(err, os.ErrNotExist) {
		return "not found"
	}
	return "not possible"
}

// dropCapabilities leaves a child none, whoever the server runs as: root without
// them is a user like others, and no_new_privs keeps execve from giving them back.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fault.New(fault.Unavailable, "a child's capabilities can't be dropped")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fault.New(fault.Unavailable, "a child's capabilities can't be dropped")
	}
	return nil
}
