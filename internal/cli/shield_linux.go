package cli

import "golang.org/x/sys/unix"

// redirect makes to what from is.
func redirect(from, to int) error { return unix.Dup3(from, to, 0) }
