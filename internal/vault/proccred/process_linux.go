package proccred

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// self is this program, also where its file was replaced since.
func self() string { return "/proc/self/exe" }

// apart puts the process into a session of its own, and has the kernel kill it
// when the thread that started it is no more.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// untilExit waits for the end of a process without taking it off the books, so
// that nobody else has its number yet; false where that can't be done.
func untilExit(pid int) bool {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// inMemory gives a descriptor of a file in memory that has the value and can't be
// changed. It can be read any number of times.
func inMemory(value []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("credential", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("credential", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "no memory file for the server's credential")
	}
	f := os.NewFile(uintptr(fd), "credential")
	_, err = f.Write(value)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, "no memory file for the server's credential"), f.Close())
	}
	return f, nil
}
