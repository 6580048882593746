// Command scrubbench compares the search of internal/scrub with bytes.IndexByte
// and with a library for multi-pattern search (Aho-Corasick), on the same text in
// the same process. scripts/scrubbench.sh runs it. Figures are megabytes of text
// for a second of the processor's time, the best of several rounds.
package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	ahocorasick "github.com/BobuSumisu/aho-corasick"

	"sallyport.dev/internal/scrub"
)

const (
	textSize = 4 << 20
	chunk    = 32 << 10 // as a proxy writes
	rounds   = 7
	// mostStates bounds what the library is given: it keeps more than 2 KB for
	// each byte of its patterns.
	mostStates = 400_000
)

func main() {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, in := range []struct {
		name string
		text []byte
	}{{"text without escapes", plain(text(rng))}, {"text with many escapes", text(rng)}} {
		floor := rate(in.text, func(t []byte) { bytes.IndexByte(t, 0) })
		fmt.Printf("%s\n  %-52s %9s %9s %9s\n", in.name, "", "MB/cpu-s", "IndexByte", "held MB")
		line("bytes.IndexByte of a byte that is not there", floor, floor, 0)
		for _, n := range []int{10, 100, 1000} {
			compare(in.text, many(rng, n), floor)
		}
	}
}

// compare prints the lines for one number of secrets.
func compare(t []byte, secrets []scrub.Secret, floor float64) {
	n := len(secrets)
	var raw [][]byte
	for _, s := range secrets {
		raw = append(raw, s.Value)
	}
	ours := func(what string, build func() *scrub.Set, search func(*scrub.Set, []byte)) {
		set, held := kept(build)
		line(fmt.Sprintf("%d secrets, ours, %s", n, what), rate(t, func(t []byte) { search(set, t) }), floor, held)
	}
	library := func(what string, patterns [][]byte) {
		if size := len(bytes.Join(patterns, nil)); size > mostStates {
			fmt.Printf("  %-52s %9s (%d KB of patterns: gigabytes of memory)\n", fmt.Sprintf("%d secrets, Aho-Corasick, %s", n, what), "-", size>>10)
			return
		}
		trie, held := kept(func() *ahocorasick.Trie { return ahocorasick.NewTrieBuilder().AddPatterns(patterns).Build() })
		line(fmt.Sprintf("%d secrets, Aho-Corasick, %s", n, what), rate(t, func(t []byte) { trie.Match(t) }), floor, held)
	}
	all := func() *scrub.Set {
		set, err := scrub.Build(secrets)
		if err != nil {
			panic(err)
		}
		return set
	}
	literal := func(s *scrub.Set, t []byte) { s.Literal(t) }
	ours("raw values", func() *scrub.Set { return scrub.BuildRaw(secrets) }, literal)
	library("raw values", raw)
	ours("all forms", all, literal)
	library("all forms", scrub.Texts(secrets))
	ours("all forms, and escapes decoded (a stream)", all, func(s *scrub.Set, t []byte) {
		st := s.Stream(io.Discard)
		for len(t) > 0 {
			k := min(chunk, len(t))
			_, _ = st.Write(t[:k]) // to nowhere
			t = t[k:]
		}
		_ = st.Close()
	})
}

func line(what string, rate, floor, held float64) {
	memory := ""
	if held > 0 {
		memory = fmt.Sprintf("%9.1f", held)
	}
	fmt.Printf("  %-52s %9.0f %8.1f%% %s\n", what, rate, 100*rate/floor, memory)
}

// kept gives what build makes, and the megabytes that it holds.
func kept[T any](build func() T) (T, float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return v, max(0.1, (float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6)
}

// rate is how many megabytes of t a second of the processor's time is good for.
func rate(t []byte, f func([]byte)) float64 {
	best := 0.0
	for range rounds {
		n, before := 0, processorTime()
		for n == 0 || processorTime()-before < 20*time.Millisecond {
			f(t)
			n += len(t)
		}
		best = max(best, float64(n)/1e6/(processorTime()-before).Seconds())
	}
	return best
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// many makes n random secrets of the usual shapes.
func many(rng *rand.Rand, n int) []scrub.Secret {
	const abc = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	shapes := []struct {
		head, abc string
		n         int
	}{{"", abc[:62], 20}, {"ghp_", abc[:62], 36}, {"", "0123456789abcdef", 64}, {"", abc, 43}, {"sk-proj-", abc[:62], 48}, {"", abc[:62] + "!#$%&*-_.", 14}}
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

// text is JSON, HTML, links, logs and words without secrets.
func text(rng *rand.Rand) []byte {
	words := strings.Fields("the invoice supplier of vendor account total status pending approved order line item " +
		"address street city payment terms net due date currency amount tax rate description quantity unit price")
	word := func() string { return words[rng.IntN(len(words))] }
	var b bytes.Buffer
	for b.Len() < textSize {
		switch rng.IntN(5) {
		case 0:
			fmt.Fprintf(&b, `{"id":%d,"%s":"%s \"%s\" \u0026 %s","hash":"%016x%016x","ok":true}`+"\n", rng.Uint32(), word(), word(), word(), word(), rng.Uint64(), rng.Uint64())
		case 1:
			fmt.Fprintf(&b, "<td class=\"%s\">%s &amp; %s</td><td>&#8364; %d</td><td>%s&nbsp;%s</td>\n", word(), word(), word(), rng.IntN(1e6), word(), word())
		case 2:
			fmt.Fprintf(&b, "https://example.com/%s/%s?q=%s%%20%s%%2F%s&id=%x\n", word(), word(), word(), word(), word(), rng.Uint64())
		case 3:
			fmt.Fprintf(&b, "2026-11-23T04:%02d:%02dZ INFO %s.%s: %s in %dms\n", rng.IntN(60), rng.IntN(60), word(), word(), word(), rng.IntN(999))
		default:
			for range 20 {
				b.WriteString(word() + " ")
			}
		}
	}
	return b.Bytes()
}

// plain is a text without the characters that begin escapes.
func plain(t []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if strings.ContainsRune(`%\&`, r) {
			return '.'
		}
		return r
	}, t)
}
