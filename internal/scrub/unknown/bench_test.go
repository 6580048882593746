package unknown_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sallyport.dev/internal/scrub/unknown"
)

// observation is about n bytes of what a system answers: JSON with ids, dates,
// hashes and names, log lines, HTML, prose, and few secrets.
func observation(rng *rand.Rand, n int) []byte {
	words := strings.Fields("invoice supplier vendor account total status pending approved order line item key token " +
		"address street city payment terms due date currency amount tax rate description session author page id secret")
	word := func() string { return words[rng.IntN(len(words))] }
	var b bytes.Buffer
	for b.Len() < n {
		switch rng.IntN(5) {
		case 0:
			fmt.Fprintf(&b, `{"id":%d,"%s_id":"%08x-%04x-4%03x-%04x-%012x","sha":"%016x%016x%08x","next_token":"page-%d","ok":true}`+"\n",
				rng.Uint32(), word(), rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<12), rng.IntN(1<<16), rng.IntN(1<<48), rng.Uint64(), rng.Uint64(), rng.Uint32(), rng.IntN(9))
		case 1:
			fmt.Fprintf(&b, "<tr class=\"%s\"><td>%s &amp; %s</td><td>%d</td></tr>\n", word(), word(), word(), rng.IntN(1e6))
		case 2:
			fmt.Fprintf(&b, "https://example.com/%s/%s?q=%s%%20%s&page=%d\n", word(), word(), word(), word(), rng.IntN(99))
		case 3:
			fmt.Fprintf(&b, "2026-11-23T04:%02d:%02dZ INFO %s.%s: %s=%s in %dms\n", rng.IntN(60), rng.IntN(60), word(), word(), word(), word(), rng.IntN(999))
		default:
			for range 20 {
				b.WriteString(word() + " ")
			}
			b.WriteString("\n")
		}
	}
	return b.Bytes()[:n]
}

func BenchmarkFind(b *testing.B) {
	text := observation(rand.New(rand.NewPCG(1, 2)), 64<<10)
	for _, c := range []struct {
		name string
		s    *unknown.Scanner
	}{{"all", unknown.New(unknown.Likely, nil)}, {"sure", unknown.New(unknown.Sure, nil)}} {
		b.Run("observation64K/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				c.s.Find(text)
			}
		})
	}
}

func BenchmarkAdversarial(b *testing.B) {
	for name, unit := range hostile() {
		text := repeat(unit, 1<<20)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				unknown.Find(text)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		unknown.New(unknown.Likely, nil)
	}
}
