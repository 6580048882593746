//go:build !linux

package program

import "golang.org/x/sys/unix"

// keepDescriptors closes at the start of another program whatever descriptor was
// given to us to inherit. Go's own close by themselves; others have low numbers.
func keepDescriptors() {
	for fd := 3; fd < 256; fd++ {
		unix.CloseOnExec(fd)
	}
}
