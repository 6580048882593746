package cli

import "golang.org/x/sys/unix"

// mute turns a terminal's echo off, and leaves it a terminal that takes lines and
// signals. restore puts back what was.
func mute(fd int) (restore func() error, err error) {
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	quiet := *was
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	quiet.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return nil, err
	}
	return func() error { return unix.IoctlSetTermios(fd, setTermios, was) }, nil
}
