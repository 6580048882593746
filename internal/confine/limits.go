//go:build unix

package confine

import (
	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// limit sets what the kernel counts for a process. There is none of processor
// time: it is summed up over a child's life, which is as long as it is used. There
// is none of address space: runtimes reserve hundreds of gigabytes of it that they
// never use; private memory is what is counted.
func limit(s Spec) error {
	processes := int64(s.Processes)
	if processes > 0 {
		processes += tasks() // the kernel counts all that the user has
	}
	for _, l := range []struct {
		what  int
		most  int64
		words string
	}{
		{unix.RLIMIT_CORE, 1, "core files"},
		{unix.RLIMIT_DATA, s.Memory, "memory"},
		{unix.RLIMIT_NPROC, processes, "processes"},
		{unix.RLIMIT_NOFILE, int64(s.OpenFiles), "open files"},
		{unix.RLIMIT_FSIZE, s.FileSize, "the size of files"},
	} {
		if l.most == 0 {
			continue
		}
		if err := lower(l.what, uint64(l.most)); err != nil {
			return fault.Newf(fault.Unavailable, "a child's limit of %s can't be set", l.words)
		}
	}
	return nil
}

// lower sets both limits to most, or leaves a hard limit that is lower already.
func lower(what int, most uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(what, &now); err != nil {
		return err
	}
	most = min(most, uint64(now.Max)) //nolint:unconvert // it is signed on some systems
	now.Cur, now.Max = most, most
	return unix.Setrlimit(what, &now)
}
