package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// scratch is a directory for what is not finished. Whatever becomes of the
// process, nobody takes it for a data directory, and the next one that is made
// beside it removes it: the lock says that nobody is at it.
type scratch struct {
	path string
	lock *os.File
}

// newScratch makes one in a directory that is there, and removes those with the
// same prefix that a process has left behind.
func newScratch(parent, prefix string) (*scratch, error) {
	removeLeft(parent, prefix)
	path, err := os.MkdirTemp(parent, prefix+"*") // its mode is 0700
	if err != nil {
		return nil, diskErr("making a directory in "+fault.Quote(parent), err)
	}
	lock, err := lockScratch(path)
	if err != nil {
		return nil, errors.Join(diskErr("locking "+fault.Quote(path), err), os.RemoveAll(path))
	}
	return &scratch{path, lock}, nil
}

func lockScratch(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// remove removes it with all that is in it.
func (s *scratch) remove() error {
	return errors.Join(os.RemoveAll(s.path), s.lock.Close())
}

// removeLeft removes what is this user's own and locked by nobody. What can't be
// removed stays: it is in nobody's way.
func removeLeft(parent, prefix string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || !ours(info) {
			continue
		}
		if lock, err := lockScratch(filepath.Join(parent, e.Name())); err == nil {
			_ = os.RemoveAll(filepath.Join(parent, e.Name()))
			_ = lock.Close()
		}
	}
}

func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// diskErr says what the disk said, without its paths: they are in op, where they
// matter.
func diskErr(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Wrap(e.Kind, op, e)
	}
	no, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return fault.Wrap(fault.Unavailable, op, err)
	}
	f := &fault.Error{Kind: fault.Unavailable, Msg: op, Err: no}
	if no == unix.ENOSPC || no == unix.EDQUOT || no == unix.EFBIG {
		return f.WithHint("make room there, or name a place that has some")
	}
	return f
}

// syncTree makes a directory and the files in it durable. There are none below.
func syncTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncPath(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncPath(dir)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
