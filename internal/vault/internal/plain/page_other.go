//go:build !linux

package plain

import "errors"

// undumpable: only Linux can keep one page out of core files.
func undumpable([]byte) error {
	return errors.New("this system can't keep one page out of core files and children")
}
