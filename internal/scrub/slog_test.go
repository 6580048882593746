package scrub_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/scrub"
)

type valuer struct{ v any }

func (v valuer) LogValue() slog.Value { return slog.AnyValue(v.v) }

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

type angry struct{}

func (*angry) Error() string { panic("no " + canary) }

type angryValuer struct{}

func (angryValuer) LogValue() slog.Value { panic("no " + canary) }

func handlers(w io.Writer) map[string]slog.Handler {
	opts := &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}
	return map[string]slog.Handler{"json": slog.NewJSONHandler(w, opts), "text": slog.NewTextHandler(w, opts)}
}

func TestNoLogRecordShowsASecret(t *testing.T) {
	var h scrub.Holder
	h.Store(build(t, canary, "31415926535"))
	for name := range handlers(io.Discard) {
		values := map[string]any{
			"string": "x " + canary, "error": errors.New("e " + canary), "bytes": []byte(canary), "stringer": stringer{canary},
			"valuer": valuer{valuer{canary}}, "struct": struct{ A, b string }{canary, canary}, "deep bytes": struct{ B []byte }{[]byte(canary)},
			"map": map[string]any{canary: []string{canary}}, "pointer": &struct{ S string }{canary}, "group": []slog.Attr{slog.String("k", canary)},
			"hex": hex.EncodeToString([]byte(canary)), "url": &url.URL{Scheme: "https", User: url.UserPassword("u", canary), Host: "h"},
			"number": int64(31415926535), "array": [20]byte([]byte(canary)), "angry": (*angry)(nil), "angry valuer": angryValuer{},
			"group value": slog.GroupValue(slog.Any("in", valuer{errors.New(canary)})), "key " + canary: 1, "nil": nil,
		}
		for key, v := range values {
			var out bytes.Buffer
			log := slog.New(scrub.Handler(handlers(&out)[name], &h, nil))
			log.With(key, v).WithGroup("g "+canary).With(key, v).Info("message "+canary, key, v, slog.Group("sub", key, v))
			text := out.String()
			if leaks(text, canary) != "" || strings.Contains(text, "31415926535") {
				t.Errorf("%s %s: %s", name, key, text)
			}
			if !strings.Contains(text, "[secret:s0]") {
				t.Errorf("%s %s: the record is lost: %s", name, key, text)
			}
		}
	}
}

func TestAHandlerKeepsWhatIsNotSecret(t *testing.T) {
	var h scrub.Holder
	h.Store(build(t, canary))
	record := func(wrap func(slog.Handler) slog.Handler) string {
		var out bytes.Buffer
		log := slog.New(wrap(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		log.With("a", 1).WithGroup("g").With("b", true).WithGroup("").Info("m", "c", 1.5, slog.Group("h", "d", "text"), "e", errors.New("broken"))
		log.Debug("not enabled")
		return out.String()
	}
	plain := record(func(h slog.Handler) slog.Handler { return h })
	if got := record(func(n slog.Handler) slog.Handler { return scrub.Handler(n, &h, nil) }); got != plain {
		t.Errorf("%s, want %s", got, plain)
	}
}

func TestAttributesBoundBeforeASecretIsKnownAreScrubbed(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	log := slog.New(scrub.Handler(slog.NewTextHandler(&out, nil), &h, nil)).With("bound", canary)
	h.Store(build(t, canary))
	log.Info("m")
	shows(t, out.String())
}

func TestAValueThatCanNotBeRenderedFailsClosed(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	h.Store(build(t, canary))
	slog.New(scrub.Handler(slog.NewTextHandler(&out, nil), &h, nil)).Info("m", "v", (*angry)(nil))
	if !strings.Contains(out.String(), "withheld") {
		t.Fatal(out.String())
	}
}

func TestWriterScrubsLines(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	w := scrub.Writer(&out, &h)
	h.Store(build(t, canary))
	for _, s := range []string{"a line with " + canary[:7], canary[7:] + "\n", "ends in the beginning: " + canary[:5] + "\n", "next\n"} {
		if n, err := io.WriteString(w, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "a line with [secret:s0]\nends in the beginning: " + canary[:5] + "\nnext\n"; out.String() != want {
		t.Fatalf("%q", out.String())
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				_, _ = io.WriteString(w, "x "+canary+"\n")
			}
		})
	}
	all.Wait()
	shows(t, out.String())
}

// A mask sees each value with its name, since a name can be what makes it one.
func TestAMaskIsAppliedToEveryTextOfARecord(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	mask := func(s string) string {
		s = strings.ReplaceAll(s, "pin=1234", "pin=[masked]")
		if strings.HasPrefix(s, "all=") {
			return "[masked]"
		}
		return strings.ReplaceAll(s, "token-form", "[masked]")
	}
	log := slog.New(scrub.Handler(slog.NewTextHandler(&out, nil), &h, mask)).With("pin", "1234")
	log.Info("a token-form", slog.Group("g", slog.String("pin", "1234"), slog.Any("e", errors.New("token-form"))), "token-form", 1, "all", "x", "other", "1234")
	got := out.String()
	for _, want := range []string{"a [masked]", " pin=[masked]", " g.pin=[masked]", "g.e=[masked]", "other=1234", "withheld"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(got, "token-form") || strings.Contains(got, "all=x") {
		t.Errorf("it is %s", got)
	}
}
