package scrub_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/scrub"
)

// many makes n random secrets of the usual shapes.
func many(rng *rand.Rand, n int) []scrub.Secret {
	const b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	shapes := []struct {
		head string
		abc  string
		n    int
	}{
		{"", b64[:62], 20}, {"ghp_", b64[:62], 36}, {"", "0123456789abcdef", 64},
		{"", b64, 43}, {"sk-proj-", b64[:62], 48}, {"", b64[:62] + "!#$%&*-_.", 14},
	}
	out := make([]scrub.Secret, n)
	for i := range out {
		s := shapes[i%len(shapes)]
		v := []byte(s.head)
		for range s.n {
			v = append(v, s.abc[rng.IntN(len(s.abc))])
		}
		out[i] = scrub.Secret{Name: fmt.Sprintf("secret-%d", i), Value: v}
	}
	return out
}

// ordinaryText is about n bytes of JSON, HTML, logs and links without secrets.
func ordinaryText(rng *rand.Rand, n int) []byte {
	words := strings.Fields("the invoice supplier of vendor account total status pending approved order line item " +
		"address street city payment terms net due date currency amount tax rate description quantity unit price")
	word := func() string { return words[rng.IntN(len(words))] }
	var b bytes.Buffer
	for b.Len() < n {
		switch rng.IntN(5) {
		case 0:
			fmt.Fprintf(&b, `{"id":%d,"%s":"%s \"%s\" \u0026 %s","hash":"%016x%016x","ok":true,"list":[%d,%d,%d]}`+"\n",
				rng.Uint32(), word(), word(), word(), word(), rng.Uint64(), rng.Uint64(), rng.IntN(99), rng.IntN(255), rng.IntN(255))
		case 1:
			fmt.Fprintf(&b, "<tr class=\"%s\"><td>%s &amp; %s</td><td>&#8364; %d</td><td>%s&nbsp;%s</td></tr>\n",
				word(), word(), word(), rng.IntN(1e6), word(), word())
		case 2:
			fmt.Fprintf(&b, "https://example.com/%s/%s?q=%s%%20%s%%2F%s&id=%x\n", word(), word(), word(), word(), word(), rng.Uint64())
		case 3:
			fmt.Fprintf(&b, "2026-11-23T04:%02d:%02dZ INFO %s.%s: %s %s in %dms\n", rng.IntN(60), rng.IntN(60), word(), word(), word(), word(), rng.IntN(999))
		default:
			for range 20 {
				b.WriteString(word() + " ")
			}
			b.WriteString("\n")
		}
	}
	return b.Bytes()
}

// perSecond adds to a benchmark's figures how many megabytes, of size bytes that
// each round works on, a second of the processor's time is good for: unlike the
// clock's, it says the same on a machine that others use too.
func perSecond(b *testing.B, size int, round func()) {
	b.Helper()
	b.SetBytes(int64(size))
	before := processorTime(b)
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/(processorTime(b)-before).Seconds(), "MB/cpu-s")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inChunks writes text as a proxy does.
func inChunks(b *testing.B, set *scrub.Set, text []byte) scrub.Report {
	b.Helper()
	st := set.Stream(io.Discard)
	for len(text) > 0 {
		k := min(len(text), 32<<10)
		_, _ = st.Write(text[:k])
		text = text[k:]
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return st.Report()
}

func BenchmarkScan(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	inputs := []struct {
		name string
		text []byte
	}{
		{"mixed", ordinaryText(rng, 1<<20)},
		{"noescape", bytes.Map(func(r rune) rune {
			if r == '%' || r == '\\' || r == '&' {
				return '.'
			}
			return r
		}, ordinaryText(rng, 1<<20))},
	}
	for _, n := range []int{10, 1000} {
		set, err := scrub.Build(many(rng, n))
		if err != nil {
			b.Fatal(err)
		}
		for _, in := range inputs {
			b.Run(fmt.Sprintf("stream/%s/secrets=%d", in.name, n), func(b *testing.B) {
				perSecond(b, len(in.text), func() {
					if r := inChunks(b, set, in.text); r.Found() {
						b.Fatal(r)
					}
				})
			})
			b.Run(fmt.Sprintf("bytes64K/%s/secrets=%d", in.name, n), func(b *testing.B) {
				t := in.text[:64<<10]
				perSecond(b, len(t), func() {
					if _, r := set.Bytes(t); r.Found() {
						b.Fatal(r)
					}
				})
			})
		}
	}
}

// BenchmarkBuild makes a set; held is what it keeps in memory.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		secrets := many(rand.New(rand.NewPCG(1, 2)), n)
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			set, err := scrub.Build(secrets)
			if err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			held := float64(after.HeapAlloc) - float64(before.HeapAlloc)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := scrub.Build(secrets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(held/1e6, "MB-held")
			runtime.KeepAlive(set)
		})
	}
}

// BenchmarkAdversarial is text made to be slow: almost secrets, secrets back to
// back, escapes only, and what looks like base64; as it streams by, and as a
// whole.
func BenchmarkAdversarial(b *testing.B) {
	secrets := many(rand.New(rand.NewPCG(1, 2)), 1000)
	set, err := scrub.Build(secrets)
	if err != nil {
		b.Fatal(err)
	}
	var near, back, escaped, entities, slashes bytes.Buffer
	for near.Len() < 1<<20 {
		for _, s := range secrets {
			near.Write(s.Value[:len(s.Value)-1])
			near.WriteByte('~')
			back.Write(s.Value)
			for _, c := range s.Value[:len(s.Value)-1] {
				fmt.Fprintf(&escaped, "%%%02x", c)
				fmt.Fprintf(&entities, "&#%d;", c)
			}
			slashes.WriteString(`\\\\\\\\\\\\\\\u0041&amp;%25`)
		}
	}
	random := make([]byte, 768<<10)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	for _, in := range []struct {
		name string
		text []byte
	}{
		{"near", near.Bytes()}, {"back", back.Bytes()}, {"escaped", escaped.Bytes()}, {"entities", entities.Bytes()},
		{"slashes", slashes.Bytes()}, {"backslashes", bytes.Repeat([]byte(`\`), 1<<20)},
		{"percents", bytes.Repeat([]byte("%"), 1<<20)}, {"ampersands", bytes.Repeat([]byte("&"), 1<<20)},
		{"nested", bytes.Repeat([]byte("%25252541&amp;amp;amp;"), 1<<20/22)},
		{"base64", base64.StdEncoding.AppendEncode(nil, random)},
	} {
		b.Run("stream/"+in.name, func(b *testing.B) {
			perSecond(b, len(in.text), func() { inChunks(b, set, in.text) })
		})
		b.Run("bytes64K/"+in.name, func(b *testing.B) {
			t := in.text[:min(64<<10, len(in.text))]
			perSecond(b, len(t), func() { set.Bytes(t) })
		})
	}
}
