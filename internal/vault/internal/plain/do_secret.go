//go:build goexperiment.runtimesecret

package plain

import "runtime/secret"

// Erases says whether this build erases what [Do] leaves, where the system is
// linux/amd64 or linux/arm64.
const Erases = true

// Do calls f and has what it left in registers, on the stack and on the heap
// erased. What f returns to its caller is copied out of it by the caller.
func Do(f func()) { secret.Do(f) }
