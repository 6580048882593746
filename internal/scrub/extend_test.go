package scrub_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sallyport.dev/internal/scrub"
)

// A set that was extended, one secret at a time or many, finds what one finds
// that was built at once.
func TestAnExtendedSetFindsWhatABuiltOneFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	all := many(rng, 150)
	for _, k := range []string{"quotes", "two lines", "accents", "jwt"} {
		all = append(all, scrub.Secret{Name: "kind-" + strings.ReplaceAll(k, " ", "-"), Value: []byte(kinds[k])})
	}
	built, err := scrub.Build(all)
	if err != nil {
		t.Fatal(err)
	}
	extended := &scrub.Set{}
	for i := 0; i < len(all); {
		n := min(1+rng.IntN(9), len(all)-i)
		was, before := extended, extended.Len()
		if extended, err = scrub.Extend(extended, all[i:i+n]); err != nil {
			t.Fatal(err)
		}
		if was.Len() != before || extended.Len() != before+n {
			t.Fatalf("%d secrets and %d became %d; the old set has %d", before, n, extended.Len(), was.Len())
		}
		i += n
	}
	for i, s := range all {
		for range 4 {
			coded, ok := encoders[rng.IntN(len(encoders))].Encode(string(s.Value))
			if !ok {
				continue
			}
			other := all[rng.IntN(len(all))].Value
			in := fmt.Sprintf("%s %s\n%s %s\n", ordinaryText(rng, 80), coded, ordinaryText(rng, 80), other)
			a, ra := built.Bytes([]byte(in))
			b, rb := extended.Bytes([]byte(in))
			if string(a) != string(b) || !reflect.DeepEqual(ra, rb) {
				t.Fatalf("secret %d: built %q, extended %q", i, a, b)
			}
			c, _ := streamed(t, built, in, chunkers[4], rand.New(rand.NewPCG(1, 1)))
			d, _ := streamed(t, extended, in, chunkers[4], rand.New(rand.NewPCG(1, 1)))
			if c != d {
				t.Fatalf("secret %d in a stream: built %q, extended %q", i, c, d)
			}
		}
	}
}

func TestANameThatHoldsALaterSecretIsNotShown(t *testing.T) {
	first, err := scrub.Build([]scrub.Secret{{Name: random40, Value: []byte("another-value-91-x")}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := scrub.Extend(first, []scrub.Secret{{Name: "later", Value: []byte(random40)}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, _ := set.String("x another-value-91-x y"); out != "x [secret] y" {
			t.Errorf("%q", out)
		}
		if set, err = scrub.Extend(set, []scrub.Secret{{Name: "third", Value: []byte("a-third-value-77-z")}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExtendRefusesWhatBuildRefuses(t *testing.T) {
	set := build(t, random40)
	for _, s := range []scrub.Secret{{Name: "", Value: []byte(random40)}, {Name: "x", Value: []byte("short")}} {
		if _, err := scrub.Extend(set, []scrub.Secret{s}); err == nil {
			t.Errorf("%q was taken", s.Name)
		}
	}
	if same, err := scrub.Extend(set, nil); err != nil || same != set {
		t.Errorf("nothing was added, and the set is another: %v", err)
	}
}

// BenchmarkExtend adds one secret to a thousand; BenchmarkBuild makes all anew.
func BenchmarkExtend(b *testing.B) {
	secrets := many(rand.New(rand.NewPCG(1, 2)), 1000)
	set, err := scrub.Build(secrets)
	if err != nil {
		b.Fatal(err)
	}
	more := many(rand.New(rand.NewPCG(3, 4)), 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scrub.Extend(set, more); err != nil {
			b.Fatal(err)
		}
	}
}
