package box_test

import (
	"bytes"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

func TestABoxOpensOnlyWhereItBelongs(t *testing.T) {
	key, other := bytes.Repeat([]byte{7}, box.KeySize), bytes.Repeat([]byte{8}, box.KeySize)
	aad := box.Bind("value", "acme", "erp")
	sealed, err := box.Seal(key, aad, plain.New([]byte("canary")))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := box.Open(key, aad, sealed); err != nil || string(plain.Bytes(v)) != "canary" {
		t.Fatalf("opened %v, %v", v, err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, try := range map[string]struct {
		key    []byte
		aad    box.AAD
		sealed []byte
	}{
		"another key":        {other, aad, sealed},
		"another tenant":     {key, box.Bind("value", "acmf", "erp"), sealed},
		"parts moved":        {key, box.Bind("value", "acmee", "rp"), sealed},
		"a part less":        {key, box.Bind("value", "acme"), sealed},
		"another purpose":    {key, box.Bind("data key", "acme", "erp"), sealed},
		"a flipped bit":      {key, aad, flipped},
		"cut":                {key, aad, sealed[:20]},
		"nothing":            {key, aad, nil},
		"no associated data": {key, nil, sealed},
		"a short key":        {key[:16], aad, sealed},
	} {
		if v, err := box.Open(try.key, try.aad, try.sealed); err == nil || len(plain.Bytes(v)) > 0 {
			t.Errorf("%s: opened", name)
		} else if k := fault.KindOf(err); k != fault.Denied && k != fault.Internal {
			t.Errorf("%s: kind %s", name, k)
		}
	}
}

func TestTwoBoxesOfOneValueDiffer(t *testing.T) {
	key := bytes.Repeat([]byte{7}, box.KeySize)
	a, errA := box.Seal(key, box.Bind("x"), plain.New([]byte("v")))
	b, errB := box.Seal(key, box.Bind("x"), plain.New([]byte("v")))
	if errA != nil || errB != nil || bytes.Equal(a, b) {
		t.Fatal("a nonce was used twice")
	}
	if _, err := box.Seal(key, nil, plain.Value{}); err == nil {
		t.Fatal("sealed without associated data")
	}
}
