package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// made is the line of the lock file that says that there was a database.
const made = "database\n"

// dirLock is the lock of a data directory. Its file says which process holds it,
// and whether a database was made there: one that is gone then is not made anew
// as if nothing had been.
type dirLock struct {
	file *os.File
	made bool
}

// lockDir takes the directory's lock, which the kernel frees when the process
// ends, however it ends.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fileErr("opening the data directory's lock", err)
	}
	text, _ := io.ReadAll(io.LimitReader(f, 1<<10)) // what can't be read says nothing
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.Newf(fault.Conflict, "another process%s uses the data directory %s", holder(string(text)), dir).
			WithHint("stop it, or start with another --data")
	}
	l := &dirLock{file: f, made: strings.Contains(string(text), "\n"+made)}
	return l, l.write()
}

// free gives the lock back. To close the file is not enough: a process that is just
// being started has a copy of it for a moment, which holds the lock too.
func (l *dirLock) free() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

// holder names the process that the lock's file is about.
func holder(text string) string {
	var id int
	if _, err := fmt.Sscanf(text, "process %d\n", &id); err != nil || id <= 0 {
		return ""
	}
	return fmt.Sprintf(" (its id is %d)", id)
}

// write says in the file what is known. It is for people and for the next start;
// what locks is the kernel.
func (l *dirLock) write() error {
	text := fmt.Sprintf("process %d\n", os.Getpid())
	if l.made {
		text += made
	}
	if _, err := l.file.WriteAt([]byte(text), 0); err != nil {
		return fileErr("writing the data directory's lock", err)
	}
	return fileErr("writing the data directory's lock", l.file.Truncate(int64(len(text))))
}

// setMade remembers that there is a database.
func (l *dirLock) setMade() error {
	if l.made {
		return nil
	}
	l.made = true
	return l.write()
}

// checkThere refuses to make a database anew where there was one.
func (l *dirLock) checkThere(path string) error {
	if !l.made {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	return fault.Newf(fault.Unavailable, "the database %s is gone or empty, and there was one", path).
		WithHint("put it back, or restore a backup; to begin anew, take everything out of the directory")
}
