//go:build unix && !linux

package proccred

import (
	"os"
	"syscall"

	"sallyport.dev/internal/fault"
)

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// apart puts the process into a session of its own. This system does not end it
// with us; its input ends.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// untilExit: here the end is seen by waiting alone.
func untilExit(int) bool { return false }

// pipeRoom is what every pipe holds before somebody reads.
const pipeRoom = 4 << 10

// inMemory gives the end of a pipe that has the value; it can be read once.
func inMemory(value []byte) (*os.File, error) {
	if len(value) > pipeRoom {
		return nil, fault.Newf(fault.Invalid, "the credential is larger than %d bytes, which a pipe holds", pipeRoom)
	}
	r, w, err := os.Pipe()
	if err == nil {
		_, err = w.Write(value)
		_ = w.Close() // what was written is in the pipe
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "no pipe for the server's credential")
	}
	return r, nil
}
