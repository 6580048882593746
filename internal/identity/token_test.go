package identity_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
)

func TestATokenSaysWhatItIsAndNothingElseDoes(t *testing.T) {
	for _, prefix := range []string{identity.SessionPrefix, identity.RunPrefix} {
		token := identity.NewToken(prefix)
		if len(token) != 63 {
			t.Fatalf("a token has %d characters", len(token))
		}
		if got, err := identity.ParseToken(token); err != nil || got != prefix {
			t.Fatalf("parsing gives %q, %v", got, err)
		}
		if token == identity.NewToken(prefix) {
			t.Fatal("two tokens are the same")
		}
		for i := range token {
			spoiled := []byte(token)
			if spoiled[i]++; string(spoiled) == token {
				continue
			}
			wantNoToken(t, string(spoiled))
		}
		wantNoToken(t, token[:len(token)-1])
		wantNoToken(t, token+"a")
		wantNoToken(t, " "+token)
		wantNoToken(t, strings.ToUpper(token))
	}
	wantNoToken(t, "")
	wantNoToken(t, strings.Replace(identity.NewToken(identity.SessionPrefix), "sps_", "spr_", 1))
}

func wantNoToken(t *testing.T, s string) {
	t.Helper()
	if _, err := identity.ParseToken(s); !fault.Is(err, fault.Unauthenticated) {
		t.Fatalf("%q parses: %v", s, err)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add("sps_")
	f.Add(identity.NewToken(identity.SessionPrefix))
	f.Add(identity.NewToken(identity.RunPrefix))
	f.Add("sps_" + strings.Repeat("a", 59))
	f.Add("spr_" + strings.Repeat("7", 59))
	f.Fuzz(func(t *testing.T, s string) {
		prefix, err := identity.ParseToken(s)
		switch {
		case err != nil && !fault.Is(err, fault.Unauthenticated):
			t.Fatalf("the error is of kind %q", fault.KindOf(err))
		case err != nil && s != "" && strings.Contains(err.Error(), s) && len(s) > 12:
			t.Fatal("the error repeats the token")
		case err == nil && (!strings.HasPrefix(s, prefix) || len(s) != 63 || s != strings.ToLower(s)):
			t.Fatalf("%q parses as %q", s, prefix)
		}
	})
}
