//go:build linux && (amd64 || arm64)

package confine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// spying are calls by which a process looks into others of its user or into the
// kernel, does what a filter of calls does not see, or leaves the group in which it
// is killed. No server needs them.
var spying = []uint32{
	unix.SYS_SETSID, unix.SYS_SETPGID,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// x32 is the bit of the second set of numbers that amd64 kernels may have.
const x32 = 0x40000000

// filter installs the filter of system calls, and says whether it could. Landlock
// knows TCP alone: without network, there is no socket of any kind but a pair of
// them, so neither a datagram nor the socket of a service of this machine.
func filter(network bool) bool {
	refused := spying
	if !network {
		refused = append([]uint32{unix.SYS_SOCKET}, spying...)
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	give := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	no := give(unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES))
	// Of struct seccomp_data: the call's number at 0, the architecture at 4. A call
	// of another architecture has other numbers, and is refused.
	p := []unix.SockFilter{
		load(4), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1}, no,
		load(0), {Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: x32, Jf: 1}, no,
	}
	for _, nr := range refused {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1}, no)
	}
	p = append(p, give(unix.SECCOMP_RET_ALLOW))
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0) == nil //nolint:gosec // G103: the kernel takes a pointer
}
