package deltas_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"sallyport.dev/internal/scrub/deltas"
)

// event is one delta of a channel.
func event(channel int, text string) string {
	return fmt.Sprintf("data: {\"index\":%d,\"t\":%s}\n\n", channel, quote(text))
}

func TestASecretIsFoundInEachOfTenThousandChannels(t *testing.T) {
	set := build(t)
	for size, formats := range map[int][]string{3: {"data: {\"index\":%d,\"t\":%s}\n\n"}, 5: {"data: {\"c%d\":%s}\n\n"}} {
		for _, format := range formats {
			const n = 10_000
			texts := make(map[int]string, n)
			var out bytes.Buffer
			s := deltas.NewStream(set, sse, &out)
			for _, part := range cut("my "+short+" is", size) {
				for i := range n {
					fmt.Fprintf(s, format, i, quote(part))
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				var channel int
				if n, _ := fmt.Sscanf(line[min(len(line)-1, strings.IndexAny(line+"0", "0123456789")):], "%d", &channel); n == 1 {
					text := line[strings.LastIndexByte(line, ':')+1:]
					if i := strings.LastIndex(line, `:"`); i >= 0 && !strings.Contains(line, "[") {
						text = strings.TrimRight(line[i+2:], "\"}\n")
					}
					texts[channel] += text
				}
			}
			if len(texts) != n {
				t.Fatalf("%d channels came out", len(texts))
			}
			for i, text := range texts {
				// What waited for too long may have gone as it is, up to a few bytes.
				if strings.Contains(text, short[3:]) || strings.Contains(text, short[:8]) {
					t.Fatalf("deltas of %d, channel %d: %q", size, i, text)
				}
			}
		}
	}
}

func TestWhatWaitsForEverIsLetGoOrWithheld(t *testing.T) {
	set := build(t)
	for held, want := range map[string]string{
		short[:3]: "\"t\":\"so " + short[:3] + "\"",                          // chance
		short[:9]: "\"t\":\"so [withheld: this may be a part of a secret]\"", // none
	} {
		var out bytes.Buffer
		s := deltas.NewStream(set, sse, &out)
		_, _ = io.WriteString(s, event(1, "so "+held))
		for range 300 {
			_, _ = io.WriteString(s, event(2, "."))
		}
		if n := strings.Count(out.String(), "\n\n"); !strings.Contains(out.String(), want) || n < 40 {
			t.Fatalf("%d events came, with %.100q", n, out.String())
		}
		// What follows is found all the same.
		_, _ = io.WriteString(s, event(1, short[len(held):]+".")+event(1, "and "+short))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), short[len(held):]) || strings.Count(out.String(), "[secret:crm]") != 2 {
			t.Errorf("%q", out.String()[out.Len()-200:])
		}
	}
}

func TestBytesThatWaitAreBounded(t *testing.T) {
	var out bytes.Buffer
	s := deltas.NewStream(build(t), sse, &out)
	_, _ = io.WriteString(s, event(1, short[:9]))
	big := event(2, strings.Repeat(".", 1<<20))
	for range 30 {
		_, _ = io.WriteString(s, big)
	}
	if out.Len() < 20<<20 {
		t.Errorf("%d bytes came out of %d", out.Len(), 30<<20)
	}
}

func TestAFrameThatNeverEndsIsWithheldAndTheNextOneIsNot(t *testing.T) {
	set := build(t)
	part := "data: " + short[:5] + "\n"
	for name, c := range map[string]struct{ mediaType, never, end, next, want string }{
		"one line":       {sse, "data: " + strings.Repeat("x", 5<<20), "\n\n", "data: {}\n\n", "data: [withheld: the event is too large to be looked through]\n\ndata: {}\n\n"},
		"many lines":     {sse, strings.Repeat(part, 70_000), "\n", "id: 7.\n\n", "data: [withheld: the event has too many texts]\n\nid: 7.\n\n"},
		"no end":         {sse, strings.Repeat(part, 70_000), "", "", "data: [withheld: the event has too many texts]\n\n"},
		"a line of JSON": {ndjson, `{"a":"` + strings.Repeat("x", 5<<20), "\"}\n", "{}\n", "\"[withheld: the event is too large to be looked through]\"\n{}\n"},
		"too deep":       {sse, "data: " + strings.Repeat("[", 600), "\n\n", "data: .\n\n", "data: [withheld: the event's JSON is nested too deep]\n\ndata: .\n\n"},
		"many texts":     {ndjson, "[" + strings.Repeat(`".",`, 70_000) + `"."]`, "\n", "1\n", "\"[withheld: the event has too many texts]\"\n1\n"},
		"ends with CR":   {sse, strings.Repeat("x", 5<<20), "\r\r", "data: .\r\r", "data: [withheld: the event is too large to be looked through]\n\ndata: .\r\r"},
	} {
		for _, n := range []int{1000, 1 << 23} {
			if got := through(t, set, c.mediaType, c.never+c.end+c.next, n); got != c.want {
				t.Errorf("%s, written in %d: %.200q, not %q", name, n, got, c.want)
			}
		}
	}
}

func TestMoreChannelsThanFitAreNotLetThrough(t *testing.T) {
	set := build(t)
	var out bytes.Buffer
	s := deltas.NewStream(set, sse, &out)
	for _, part := range cut(secret, 9) { // more than chance
		for i := range 20_000 {
			fmt.Fprintf(s, "data: {\"c%d\":%s}\n\n", i, quote(part))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if _, text, ok := strings.Cut(line, ":"); ok {
			key, text, _ := strings.Cut(text, ":")
			texts[key] += strings.Trim(text, "\"}\n")
		}
	}
	for key, text := range texts {
		if strings.Contains(text, secret[:9]) {
			t.Fatalf("%s: %q", key, text)
		}
	}
	if !strings.Contains(out.String(), "[withheld: too many texts come at once]") {
		t.Error("nothing was withheld")
	}
}

// What a long secret has in common with itself is read a few times, not at each
// of its thousands of texts, and found all the same, up to the end of a stream.
func TestALongSecretInTextsOfOneByteIsFound(t *testing.T) {
	long := strings.Repeat("K3yPart/Of+A:Long;Secret", 100)
	set := build(t, long)
	for _, after := range []string{"", ".", "\n and more of it, longer than what is read late"} {
		var in strings.Builder
		for _, part := range cut("so "+long+after, 1) {
			in.WriteString(event(0, part))
		}
		all := said(t, through(t, set, sse, in.String(), 4096))["#0.t"]
		if strings.Contains(all, "K3yP") || strings.Contains(all, "Secret") || !strings.HasPrefix(all, "so [") || !strings.HasSuffix(all, after) || len(all) > 150 {
			t.Errorf("%q", all)
		}
	}
}
