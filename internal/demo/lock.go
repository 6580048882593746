package demo

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// lock takes the directory for this process, as long as the file is open: a
// second demo would give the people other passwords under the first one's feet.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the demo's lock", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.Newf(fault.Conflict, "another demo uses the directory %s", dir).
			WithHint("stop it, or start with another --data")
	}
	return f, nil
}
