package intake_test

import (
	"bytes"
	"crypto/hpke"
	"maps"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intake"
)

var to = intake.Target{Tenant: "acme", Name: "erp", About: `{"scope":{}}`}

// pair is a key as a server hands it out, with its private half.
func pair(t testing.TB) (intake.Key, hpke.PrivateKey) {
	t.Helper()
	kem, _, _ := intake.Suite()
	private, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return intake.NewKey("acme", private.PublicKey().Bytes(), bytes.Repeat([]byte{7}, intake.NonceSize), time.Time{}), private
}

func open(private hpke.PrivateKey, to intake.Target, sealed []byte) (map[string][]byte, error) {
	nonce, box, err := intake.Split(sealed)
	if err != nil {
		return nil, err
	}
	_, kdf, aead := intake.Suite()
	text, err := hpke.Open(private, kdf, aead, intake.Info(to, nonce), box)
	if err != nil {
		return nil, err
	}
	return intake.Unpack(text)
}

func TestWhatWasSealedOpensForItsTargetAlone(t *testing.T) {
	k, private := pair(t)
	fields := map[string][]byte{"username": []byte("bob"), "password": []byte("cnry-3b81Lm5YpT7d46")}
	sealed, err := intake.Seal(k, to, fields)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(private, to, sealed)
	if err != nil || !maps.EqualFunc(got, fields, bytes.Equal) {
		t.Errorf("it opens as %q: %v", got, err)
	}
	if bytes.Contains(sealed, fields["password"]) {
		t.Error("the value is in the clear")
	}
	for name, change := range map[string]func(*intake.Target){
		"another tenant":  func(t *intake.Target) { t.Tenant = "globex" },
		"another name":    func(t *intake.Target) { t.Name = "erp-write" },
		"another scope":   func(t *intake.Target) { t.About = `{"scope":{},"anyOrigin":true}` },
		"a moved border":  func(t *intake.Target) { t.Tenant, t.Name = "acm", "eerp" },
		"nothing of what": func(t *intake.Target) { *t = intake.Target{} },
	} {
		other := to
		change(&other)
		if _, err := open(private, other, sealed); err == nil {
			t.Errorf("it opens for %s", name)
		}
	}
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := open(private, to, sealed); err == nil {
			t.Fatalf("it opens with byte %d changed", i)
		}
		sealed[i] ^= 1
	}
}

func TestNothingIsSealedToAKeyThatIsNotWhatItSays(t *testing.T) {
	good, _ := pair(t)
	foreign, _ := pair(t)
	for name, change := range map[string]func(*intake.Key){
		"another key under the id": func(k *intake.Key) { k.PublicKey = foreign.PublicKey },
		"another id":               func(k *intake.Key) { k.ID = foreign.ID },
		"another algorithm":        func(k *intake.Key) { k.Algorithm = "none" },
		"no nonce":                 func(k *intake.Key) { k.Nonce = "" },
		"no base64":                func(k *intake.Key) { k.PublicKey = "?" },
		"no point":                 func(k *intake.Key) { *k = intake.NewKey("acme", make([]byte, 65), make([]byte, 40), time.Time{}) },
	} {
		k := good
		change(&k)
		if _, err := intake.Seal(k, to, map[string][]byte{"token": []byte("x")}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNotInTheFormatIsRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": nil, "too short": make([]byte, 60), "another version": make([]byte, 400), "too large": make([]byte, intake.MaxSealed+1),
	} {
		if _, _, err := intake.Split(b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(intake.Pack(map[string][]byte{"token": []byte("abc")}))
	f.Add(intake.Pack(map[string][]byte{"a": nil, "b": []byte("x"), "": []byte("y")}))
	f.Add([]byte("\x00\x00\x00\x01a\xff\xff\xff\xffb"))
	f.Add([]byte(strings.Repeat("\x00", 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := intake.Unpack(b)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(intake.Pack(got), b) {
			t.Fatalf("%q is read as %q, which is written differently", b, got)
		}
	})
}
