package leaktest_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/leaktest"
)

// canaries is one for each kind and encoding.
func canaries() (all []leaktest.Canary) {
	for _, kind := range leaktest.CanaryKinds {
		for _, enc := range append(leaktest.Encoders, leaktest.WholeEncoders...) {
			all = append(all, leaktest.Mint("door", enc.Name, kind))
		}
	}
	return all
}

// The positive control of every suite: each canary is found in the encoding that
// it is sent in, whatever stands around, and is told from all others.
func TestTheSearchFindsEveryCanaryInEveryEncoding(t *testing.T) {
	all := canaries()
	x := leaktest.NewIndex(all...)
	n := 0
	for _, c := range all {
		for _, enc := range append(leaktest.Encoders, leaktest.WholeEncoders...) {
			if enc.Name != c.How {
				continue
			}
			coded, ok := enc.Encode(c.Value)
			if !ok {
				continue
			}
			n++
			x.Forget()
			hits := x.Search([]byte("some text: " + coded + " and more"))
			if len(hits) != 1 || hits[0].Canary.String() != c.String() {
				t.Errorf("%s: %d hits %v in %.300q", c, len(hits), hits, coded)
			}
		}
	}
	if x.Clipped > 0 {
		t.Errorf("%d texts decode to too much", x.Clipped)
	}
	t.Log(n, "canaries found")
}

func TestTheSearchFindsNothingWhereNothingIs(t *testing.T) {
	x := leaktest.NewIndex(canaries()...)
	other := leaktest.Mint("another door", "raw", "token").Value
	for _, text := range []string{"", "an ordinary text", `{"a":"\u0041%41&amp;"}`, other, strings.Repeat(other+"\n", 2000), canaries()[0].Value[:11]} {
		if hits := x.Search([]byte(text)); len(hits) > 0 {
			t.Errorf("%.60q has %v", text, hits)
		}
	}
}

// A sink is searched in stretches: what lies across a border is found, and what
// was searched once is not searched again.
func TestTheSearchFindsWhatIsAnywhereInALongText(t *testing.T) {
	c := leaktest.Mint("door", "anywhere", "token")
	x := leaktest.NewIndex(c)
	var filler strings.Builder
	for i := 0; filler.Len() < 200<<10; i++ {
		filler.WriteString(leaktest.Mint("filler", strings.Repeat("i", i%50), "token").Value[:i%20])
		filler.WriteByte(byte('a' + i%26))
	}
	text := filler.String()
	for at := 0; at < len(text); at += 17777 {
		x.Forget()
		if hits := x.Search([]byte(text[:at] + leaktest.PerByte(`\u%04x`)(c.Value) + text[at:])); len(hits) == 0 {
			t.Fatalf("not found at %d", at)
		}
	}
	if hits := x.Search([]byte(text)); len(hits) != 0 {
		t.Errorf("%v", hits)
	}
}

// Every carrier does carry a text where it says so.
func TestEveryCarrierHasTheTextInIt(t *testing.T) {
	whole := func(s string) []string { return []string{s} }
	for _, c := range leaktest.Carriers {
		canary := leaktest.Mint(c.Name, "raw", "token")
		if !c.Takes(canary.Value) {
			t.Errorf("%s can't take a token", c.Name)
		}
		answer := c.Answer(canary.Value, whole)
		if hits := leaktest.NewIndex(canary).Search([]byte(answer)); len(hits) == 0 && c.Name != "bare deflate" { // which has no mark to find it by
			t.Errorf("%s: %v in %.200q", c.Name, hits, answer)
		}
	}
}
