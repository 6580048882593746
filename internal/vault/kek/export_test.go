package kek

import "testing"

// Cheaper makes derivations take milliseconds until the test ends. What they
// cost otherwise is checked by TestWhatADerivationCosts.
func Cheaper(t *testing.T) {
	a, p := argonNow, pbkdf2Now
	t.Cleanup(func() { argonNow, pbkdf2Now = a, p })
	argonNow.Memory, pbkdf2Now.Time = 16<<10, 60_000
}

// Costs are what a derivation costs: Argon2id's passes, KiB and lanes, and
// PBKDF2's iterations.
func Costs() (passes, kib uint32, lanes uint8, iterations uint32) {
	return argonNow.Time, argonNow.Memory, argonNow.Lanes, pbkdf2Now.Time
}
