package kek

import (
	"context"
	"fmt"
	"hash"
	"net/http"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/rest"
)

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

// Derivations lists, from here to the test's end, what each derivation was asked
// for, without passphrase and salt.
func Derivations(t *testing.T) *[]string {
	var did []string
	a, p := idKey, pbkdf2Key
	t.Cleanup(func() { idKey, pbkdf2Key = a, p })
	idKey = func(phrase, salt []byte, passes, kib uint32, lanes uint8, n uint32) []byte {
		did = append(did, fmt.Sprintf("argon2id %d %d %d %d %d", len(salt), passes, kib, lanes, n))
		return a(phrase, salt, passes, kib, lanes, n)
	}
	pbkdf2Key = func(h func() hash.Hash, phrase string, salt []byte, iterations, n int) ([]byte, error) {
		did = append(did, fmt.Sprintf("pbkdf2 %d %d %d", len(salt), iterations, n))
		return p(h, phrase, salt, iterations, n)
	}
	return &did
}

// FIPS sets the mode until the test ends.
func FIPS(t *testing.T, on bool) {
	was := approvedOnly
	t.Cleanup(func() { approvedOnly = was })
	approvedOnly = func() bool { return on }
}

// Bind is the associated data that a seal of a kind gives for its box.
func Bind(aad box.AAD, s Sealed) box.AAD { return bind(aad, s) }

// Impatient shortens the time for one operation of a transit server or a program
// until the test ends.
func Impatient(t *testing.T, d time.Duration) {
	tr, ex := transitTimeout, execTimeout
	t.Cleanup(func() { transitTimeout, execTimeout = tr, ex })
	transitTimeout, execTimeout = d, d
}

// AskForTest has a program do one operation.
func AskForTest(e *Exec, ctx context.Context, op string, aad box.AAD, payload []byte) (string, error) {
	a, err := e.ask(ctx, op, aad, payload)
	return a.ID, err
}

// AnswerForTest accepts an answer that fits one of a program's operations, or is
// a well-formed error.
func AnswerForTest(b []byte) error {
	_, err := parseExec("id", b)
	for _, op := range []string{"wrap", "unwrap"} {
		if err != nil {
			_, err = parseExec(op, b)
		}
	}
	if reports(b) && fault.Is(err, fault.Unavailable) {
		return nil
	}
	return err
}

// PlainClient is the client for a transit server on this machine.
func PlainClient(t *testing.T) *http.Client {
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
