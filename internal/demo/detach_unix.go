//go:build unix

package demo

import (
	"os/exec"
	"syscall"
)

// detach keeps a terminal's Ctrl-C from the system: the demo ends it itself,
// after the server.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
