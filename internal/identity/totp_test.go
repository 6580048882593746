package identity_test

import (
	"crypto/fips140"
	"net/url"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
)

// The vectors of RFC 6238 appendix B, by their last six of eight digits: both
// are the same number modulo a power of ten.
func TestCodesAreThoseOfRFC6238(t *testing.T) {
	secrets := map[identity.Algorithm]string{
		identity.SHA1:   "12345678901234567890",
		identity.SHA256: "12345678901234567890123456789012",
	}
	for _, v := range []struct {
		at           int64
		sha1, sha256 string
	}{
		{59, "287082", "119246"},
		{1111111109, "081804", "084774"},
		{1111111111, "050471", "062674"},
		{1234567890, "005924", "819424"},
		{2000000000, "279037", "698825"},
		{20000000000, "353130", "737706"},
	} {
		for alg, want := range map[identity.Algorithm]string{identity.SHA1: v.sha1, identity.SHA256: v.sha256} {
			got, err := identity.Code([]byte(secrets[alg]), alg, time.Unix(v.at, 0))
			if alg == identity.SHA1 && fips140.Enforced() {
				if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" || got != "" {
					t.Errorf("SHA-1 in FIPS 140-only mode: %q, %v", got, err)
				}
				continue
			}
			if err != nil || got != want {
				t.Errorf("%s at %d: got %s, %v, want %s", alg, v.at, got, err, want)
			}
		}
	}
	if _, err := identity.Code([]byte("x"), "MD5", time.Unix(0, 0)); err == nil {
		t.Error("an unknown hash gives a code")
	}
}

func TestACodeIsGoodOneStepEarlyOrLateAndAfterTheLastUsedOne(t *testing.T) {
	secret, now := []byte("12345678901234567890"), time.Unix(1_000_000_020, 0)
	step := now.Unix() / 30
	for off := int64(-3); off <= 3; off++ {
		code, err := identity.Code(secret, identity.SHA256, now.Add(time.Duration(off)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		counter, ok, err := identity.MatchCode(secret, identity.SHA256, code, 0, now)
		if want := off >= -1 && off <= 1; err != nil || ok != want || ok && counter != step+off {
			t.Errorf("a code %d steps off: %v at %d, %v", off, ok, counter, err)
		}
		if _, ok, _ := identity.MatchCode(secret, identity.SHA256, code, step+off, now); ok {
			t.Errorf("a used code %d steps off is good", off)
		}
	}
	for _, code := range []string{"", "0", "0000000", "abcdef", " 287082"} {
		if _, ok, _ := identity.MatchCode(secret, identity.SHA256, code, 0, now); ok {
			t.Errorf("%q is a good code", code)
		}
	}
}

func TestTheEnrolmentURIIsReadable(t *testing.T) {
	u, err := url.Parse(identity.OTPAuth("acme", "ann", []byte("12345678901234567890"), identity.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Sallyport:ann@acme" || q.Get("issuer") != "Sallyport" ||
		q.Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" || q.Get("digits") != "6" || q.Get("period") != "30" {
		t.Fatalf("the URI is %s", u)
	}
}
