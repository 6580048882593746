package proccred

import (
	"syscall"

	"sallyport.dev/internal/resource"
)

// fromDescriptor says whether the child reads its credential from a descriptor.
func fromDescriptor(s Spec) bool { return s.Auth.Scheme == resource.SchemeFile }

// terminate asks the process and its group to end; kill has no answer. The number
// of the group is the process's, which is not waited for yet.
func terminate(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) } // there may be none left

func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // as above
