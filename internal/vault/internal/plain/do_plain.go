//go:build !goexperiment.runtimesecret

package plain

// Erases says whether this build erases what [Do] leaves.
const Erases = false

// Do calls f. Built with GOEXPERIMENT=runtimesecret it also erases f's traces.
func Do(f func()) { f() }
