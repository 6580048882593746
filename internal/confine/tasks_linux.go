package confine

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// tasks is how many processes and threads this user has, which is what the kernel
// holds against RLIMIT_NPROC; what can't be seen is not counted.
func tasks() (n int64) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	uid := uint32(os.Getuid())
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", d.Name())
		var st unix.Stat_t
		// An undumpable process is shown as root's: the directory of its threads too.
		if unix.Stat(dir, &st) != nil || st.Uid != uid && st.Uid != 0 {
			continue
		}
		if all, err := os.ReadDir(filepath.Join(dir, "task")); err == nil {
			n += int64(len(all))
		}
	}
	return n
}
