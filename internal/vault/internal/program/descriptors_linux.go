package program

import (
	"math"

	"golang.org/x/sys/unix"
)

// keepDescriptors closes at the start of another program whatever descriptor was
// given to us to inherit (a listening socket, say). Go's own close by themselves.
func keepDescriptors() {
	// An old kernel doesn't know the call; what was inherited then stays open.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
}
