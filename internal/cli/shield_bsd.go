//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package cli

import "golang.org/x/sys/unix"

// redirect makes to what from is.
func redirect(from, to int) error { return unix.Dup2(from, to) }
