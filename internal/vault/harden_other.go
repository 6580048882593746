//go:build !linux

package vault

// mostCore is the largest core file, in bytes.
const mostCore = 0

// undumpable: only Linux has it.
func undumpable() error { return nil }
