package confine

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// What the kernel is asked to hold, by the ABI from which on it knows it; see
// Documentation/userspace-api/landlock.rst of Linux.
const (
	fsBase = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	fsRead  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsNever = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	fsFile  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// system is what programs of any kind need to start, and to find hosts and
// certificates: nothing of it is anybody's data. What is not there is left out.
var system = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls", "/etc/pki/ca-trust", "/etc/ca-certificates",
	"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/run/systemd/resolve",
	"/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
}

// handled is what an ABI knows of files, of TCP, and of what stays in the sandbox.
func handled(abi int, network bool) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Access_fs: fsBase}
	if abi >= 2 {
		a.Access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		a.Access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 && !network {
		a.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		a.Access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return a
}

// landlock confines this thread, and gives the kernel's ABI; 0: it has none.
func landlock(s Spec) (int, error) {
	abi, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if no != 0 || int(abi) < 1 {
		return 0, nil
	}
	attr := handled(int(abi), s.Network)
	size := unsafe.Sizeof(attr)                                                                          // an older kernel takes a longer structure when what it doesn't know is zero
	fd, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0) //nolint:gosec // G103: the kernel takes a pointer
	if no != 0 {
		return 0, fault.New(fault.Unavailable, "the kernel refuses a set of rules for a child")
	}
	defer func() { _ = unix.Close(int(fd)) }() // it is in force, or this process ends
	if err := rules(int(fd), attr.Access_fs, s); err != nil {
		return 0, err
	}
	if _, _, no := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); no != 0 {
		return 0, fault.New(fault.Unavailable, "the kernel refuses to confine a child")
	}
	return int(abi), nil
}

// rules adds one for each path. A path of the Spec has to be there.
func rules(fd int, all uint64, s Spec) error {
	for _, p := range system {
		if err := allow(fd, p, fsRead&all); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) {
			return fault.Newf(fault.Unavailable, "the rule for %s can't be made: %s", p, errno(err))
		}
	}
	if err := allow(fd, "/dev/null", (fsRead|unix.LANDLOCK_ACCESS_FS_WRITE_FILE)&all); err != nil {
		return fault.Newf(fault.Unavailable, "the rule for /dev/null can't be made: %s", errno(err))
	}
	for _, p := range append([]string{s.Command[0]}, s.Read...) {
		if err := allow(fd, p, fsRead&all); err != nil {
			return fault.Newf(fault.Invalid, "the child's path %s can't be opened: %s", fault.Quote(p), errno(err))
		}
	}
	for _, p := range s.Write {
		if err := allow(fd, p, all&^fsNever); err != nil {
			return fault.Newf(fault.Invalid, "the child's path %s can't be opened: %s", fault.Quote(p), errno(err))
		}
	}
	return nil
}

// allow adds a rule for a path as it is now, and for what is below it.
func allow(ruleset int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // O_PATH: nothing was opened
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fsFile
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	if _, _, no := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0); no != 0 { //nolint:gosec // G103: the kernel takes a pointer
		return no
	}
	return nil
}
