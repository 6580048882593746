package plain

import "golang.org/x/sys/unix"

// undumpable keeps the page out of core files and of forked children.
func undumpable(page []byte) {
	_ = unix.Madvise(page, unix.MADV_DONTDUMP)
	_ = unix.Madvise(page, unix.MADV_WIPEONFORK)
}
