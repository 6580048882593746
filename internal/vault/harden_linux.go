package vault

import "golang.org/x/sys/unix"

// mostCore is the largest core file, in bytes. The processes that this one starts have
// it too, and are dumpable: with none, the kernel still gives their memory to a program
// that the system has for that (core(5)); with one byte it gives it to nobody.
const mostCore = 1

// undumpable closes /proc/PID/mem and ptrace to other processes of the user.
func undumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
