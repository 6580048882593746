//go:build !goexperiment.runtimesecret

package plain

// Do calls f. Built with GOEXPERIMENT=runtimesecret it also erases f's traces.
func Do(f func()) { f() }
