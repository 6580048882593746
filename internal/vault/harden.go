package vault

import (
	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// Harden keeps the process's memory from being written to a core file and, on
// Linux, from being read by other processes of the same user. It is called
// first thing in the program, before there is anything to protect.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fault.Wrap(fault.Unavailable, "turning core files off", err)
	}
	if err := undumpable(); err != nil {
		return fault.Wrap(fault.Unavailable, "making the process undumpable", err)
	}
	return nil
}
