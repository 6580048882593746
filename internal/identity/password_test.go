package identity_test

import (
	"crypto/fips140"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
)

func TestAHashIsOfItsPasswordAlone(t *testing.T) {
	a, err := identity.NewHash([]byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := identity.NewHash([]byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Error("two hashes of one password are the same")
	}
	pbkdf2, err := identity.WithPassword(identity.MinPBKDF2, []byte("0123456789abcdef"), []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{a, pbkdf2} {
		for input, want := range map[string]bool{"one": true, "two": false, "": false} {
			if ok, err := identity.CheckHash(stored, []byte(input)); err != nil || ok != want {
				t.Errorf("checking %q: %v, %v", input, ok, err)
			}
		}
	}
}

// Where Argon2id is refused, its hash is not called a wrong password.
func TestAnArgonHashIsRefusedWithAHintInFIPSModeAlone(t *testing.T) {
	const stored = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
	ok, err := identity.CheckHash(stored, []byte("one"))
	if fips140.Enforced() {
		if ok || !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Errorf("FIPS 140-only mode says %v, %v", ok, err)
		}
		return
	}
	if ok || err != nil {
		t.Errorf("a wrong password: %v, %v", ok, err)
	}
}

// A row is data: one that asks for a terabyte is not obeyed.
func TestADamagedHashFailsClosed(t *testing.T) {
	good, err := identity.WithPassword(identity.MinPBKDF2, []byte("0123456789abcdef"), []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "one", "$", good + "$", " " + good, strings.TrimSuffix(good, good[len(good)-4:]),
		strings.Replace(good, "i=1000", "i=1", 1), strings.Replace(good, "i=1000", "i=01000", 1), strings.Replace(good, "i=1000", "i=4000000000", 1),
		"$argon2id$v=19$m=1073741824,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"$argon2id$v=19$m=19456,t=0,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"$argon2id$v=19$m=19456,t=2,p=0$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"$argon2id$v=16$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"$argon2id$v=19$m=19456,t=2,p=1$$",
	} {
		if ok, err := identity.CheckHash(bad, []byte("one")); ok || !fault.Is(err, fault.Internal) {
			t.Errorf("%q is checked: %v, %v", bad, ok, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("")
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Add("$pbkdf2-sha256$i=600000$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Add("$argon2id$v=19$m=19456,t=2,p=1 $a$b")
	f.Add("$pbkdf2-sha256$i=+600000$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Fuzz(func(t *testing.T, s string) {
		if again, err := identity.ParseHash(s); err == nil && again != s {
			t.Fatalf("%q is read as %q", s, again)
		}
	})
}

func TestWaitingGrowsAndIsBounded(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 200; n++ {
		d := identity.Backoff(n)
		if d < last || d > 5*time.Minute || n < 5 && d != 0 || n >= 5 && d == 0 {
			t.Fatalf("after %d failures the wait is %v", n, d)
		}
		last = d
	}
}

func TestAnEnrolmentDoesNotPrintItself(t *testing.T) {
	e := identity.Enrolment{Password: "p4ssw0rd-shown-once", Secret: []byte("secret-shown-once"), URI: "otpauth://once"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, e); strings.Contains(s, "once") {
			t.Errorf("%s prints %s", format, s)
		}
	}
}
