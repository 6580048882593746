package gate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"sallyport.dev/internal/gate"
)

// Who sends many guesses at once must not see from the time that it takes which one
// was right: as much is looked at wherever it is.
func TestAsMuchIsLookedAtWhereverTheSecretIs(t *testing.T) {
	looked := map[int]bool{}
	for at := range 50 {
		guesses := make([]string, 50)
		for i := range guesses {
			guesses[i] = fmt.Sprintf("guess%02d", i)
		}
		doc, err := json.Marshal(guesses)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		place := gate.PlaceIn("arguments", doc, func(b []byte) bool { n++; return string(b) == guesses[at] })
		if place != fmt.Sprintf("arguments: /%d", at) {
			t.Errorf("it is at %q", place)
		}
		looked[n] = true
	}
	if len(looked) != 1 {
		t.Errorf("so many texts were looked at: %v", looked)
	}
}

// FuzzPlaceIn: whatever a Worker sends, a place is short, visible, and has no secret
// in it, also not as the pointer's escapes write it.
func FuzzPlaceIn(f *testing.F) {
	const secret, escaped = "s3/cr~t", "s3~1cr~0t"
	for _, s := range []string{`{"a":"s3/cr~t"}`, `{"s3/cr~t":{"s3/cr~t":1}}`, `{"s3":{"cr~t":"s3/cr~t"}}`, `["s3\/cr~t"]`, `"s3/cr~t"`, `{"a":s3/cr~t`, `{"\u202e":["s3/cr~t"]}`,
		`{"s3~1cr~0t":"s3/cr~t"}`, `{"s3/":{"cr~t":"s3/cr~t"}}`, "{\"s3/\u00a0cr~t\":\"s3/cr~t\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		place := gate.PlaceIn("arguments", []byte(doc), func(b []byte) bool { return strings.Contains(string(b), secret) })
		if !strings.HasPrefix(place, "arguments") || len(place) > 1000 || strings.Contains(place, secret) {
			t.Errorf("%q is at %q", doc, place)
		}
		if strings.Contains(place, escaped) && !strings.Contains(doc, escaped) && !strings.Contains(doc, `\u`) {
			t.Errorf("%q is at %q", doc, place)
		}
		for _, r := range place {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is at %q", doc, place)
			}
		}
	})
}
