package mission_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mission"
)

func TestACutTextEndsBetweenCharacters(t *testing.T) {
	for n, want := range map[int]string{0: "", 1: "a", 2: "a", 3: "aé", 4: "aé", 5: "aé", 6: "aé€", 9: "aé€", 10: "aé€😀", 11: "aé€😀"} {
		if got := mission.Cut("aé€😀", n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("", 0)
	f.Add("ab€", 3)
	f.Add("ab€", 4)
	f.Add("\xff\xfe\xfd", 2)
	f.Add("😀😀", 5)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1<<16 {
			return
		}
		got := mission.Cut(s, n)
		if len(got) > n || !utf8.ValidString(got) || !strings.HasPrefix(strings.ToValidUTF8(s, "?"), got) {
			t.Errorf("%q cut to %d is %q", s, n, got)
		}
		if utf8.ValidString(s) && len(s) <= n && got != s {
			t.Errorf("%q fits into %d and is %q", s, n, got)
		}
	})
}

func FuzzSplitReason(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"_reason":"why","name":"x"}`, `{"_reason":7}`, `{"_reason":"a","_reason":"b"}`, `{"_reason":null}`, `[]`, `null`, `{"a":{"_reason":"deep"}}`, `{"a":1e20,"\u005freason":"x"}`,
		`{"_reason":"` + strings.Repeat("€", 2000) + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		args, reason, err := mission.SplitReason(in)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		if len(reason) > intent.MaxReason || !utf8.ValidString(reason) {
			t.Fatalf("the reason is %d bytes", len(reason))
		}
		c, err := intent.Canonical(args)
		if err != nil || !bytes.Equal(c, args) {
			t.Fatalf("%q became %q, %v", in, args, err)
		}
		var before, after map[string]json.RawMessage
		if len(in) == 0 {
			in = []byte("{}")
		}
		if json.Unmarshal(in, &before) != nil || json.Unmarshal(args, &after) != nil {
			t.Fatalf("%q became %q", in, args)
		}
		delete(before, "_reason")
		if _, there := after["_reason"]; there || len(after) != len(before) {
			t.Fatalf("%q became %q", in, args)
		}
	})
}
