package plain

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// undumpable keeps the page out of core files and of forked children.
func undumpable(page []byte) error {
	var errs []error
	if err := unix.Madvise(page, unix.MADV_DONTDUMP); err != nil {
		errs = append(errs, fmt.Errorf("keeping the root key's page out of core files: %w", err))
	}
	if err := unix.Madvise(page, unix.MADV_WIPEONFORK); err != nil {
		errs = append(errs, fmt.Errorf("keeping the root key's page from children: %w", err))
	}
	return errors.Join(errs...)
}
