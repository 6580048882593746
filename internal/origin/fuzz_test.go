package origin_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/origin"
)

// Whatever was seen and proposed: no panic, bounded, and no value without a word on
// it.
func FuzzTrace(f *testing.F) {
	for _, c := range []string{`{"to":"GB29 NWBK 6016 1331 9268 19"}`, `["12,500.00",12500,1.25e4]`, `"\u200b\ud83d"`, `{"a":{"b":"boss@mule.example"}}`, "\xff\xfe", `{`, `[[1000]]`, `1e999`, `{"n":1000000000000000}`,
		`{"k":"&#71;&#66;%47"}`, `"R0IyOSBOV0JLIDYwMTYgMTMz"`} {
		f.Add([]byte(c), []byte(c), []byte(c))
	}
	f.Fuzz(func(t *testing.T, args, input, answer []byte) {
		s := &origin.Seen{}
		s.Add(origin.Source{Kind: origin.Input, Body: input})
		s.Add(origin.Source{Kind: origin.Answer, Ref: "int_1", Body: answer})
		began := time.Now()
		r := origin.Trace(args, s)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %s", took)
		}
		for _, o := range r.Origins {
			if !utf8.ValidString(o.At) || !utf8.ValidString(o.Part) || utf8.RuneCountInString(o.Part) > 80 || o.Trusted == o.Untrusted() && o.Kind != origin.Worker {
				t.Fatalf("%+v", o)
			}
			if o.Kind == origin.Answer && o.Ref != "int_1" {
				t.Fatalf("%+v", o)
			}
		}
		if json.Valid(args) && string(args) == string(answer) && len(input) == 0 {
			for _, o := range r.Origins {
				if o.Kind == origin.Worker {
					t.Fatalf("it was seen, and not found: %+v in %q", o, args)
				}
			}
		}
	})
}
