package notify_test

import (
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/smtpcred"
)

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// nothing is a store and a vault without anything in them. The whole way is
// tested where it is wired, in package app.
type nothing struct{}

var errNothing = fault.New(fault.NotFound, "nothing is here")

func (nothing) DueLanes(context.Context, time.Time) ([]notify.Lane, error) { return nil, nil }
func (nothing) NextNotice(context.Context, notify.Lane, time.Time) (notify.Notice, error) {
	return notify.Notice{}, errNothing
}
func (nothing) DropNotice(context.Context, notify.Notice) error { return nil }
func (nothing) Tried(context.Context, notify.Try) error         { return nil }
func (nothing) ChannelState(context.Context, notify.Lane) (notify.State, error) {
	return notify.State{}, nil
}
func (nothing) WaitingNotices(context.Context, notify.Lane, time.Time) (int, error) { return 0, nil }
func (nothing) Opened(context.Context, notify.Lane, time.Time) error                { return nil }
func (nothing) Record(context.Context, ...audit.Event) error                        { return nil }
func (nothing) Noticed() <-chan struct{}                                            { return nil }
func (nothing) Decision(context.Context, ident.Tenant, string) (decision.Decision, error) {
	return decision.Decision{}, errNothing
}
func (nothing) Intent(context.Context, ident.Tenant, string) (intent.Intent, error) {
	return intent.Intent{}, errNothing
}
func (nothing) Head(context.Context, ident.Tenant, string) (vault.Meta, error) {
	return vault.Meta{}, errNothing
}
func (nothing) OpenChannel(context.Context, vault.ChannelSpec) (http.RoundTripper, error) {
	return nil, errNothing
}
func (nothing) OpenMail(context.Context, vault.MailSpec) (*smtpcred.Session, error) {
	return nil, errNothing
}

func config() notify.Config {
	return notify.Config{Store: nothing{}, Vault: nothing{}, Catalog: func(ident.Tenant) (*catalog.Snapshot, error) { return nil, nil },
		Clean: func(_ ident.Tenant, s string) string { return strings.ReplaceAll(s, "hunter2", "[secret:x]") },
		Now:   func() time.Time { return now }, Random: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler)}
}

func notifier(t testing.TB, change func(*notify.Config)) *notify.Notifier {
	t.Helper()
	c := config()
	if change != nil {
		change(&c)
	}
	n, err := notify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANotifierIsWhole(t *testing.T) {
	for name, change := range map[string]func(*notify.Config){
		"no store": func(c *notify.Config) { c.Store = nil }, "no vault": func(c *notify.Config) { c.Vault = nil }, "no scrubbing": func(c *notify.Config) { c.Clean = nil },
	} {
		c := config()
		change(&c)
		if _, err := notify.New(c); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever can write into the database file, without a key, has no mail of their own
// sent by way of the rows of what is to be told.
func TestARowThatWasPutInTellsNothingOfItsOwn(t *testing.T) {
	n := notifier(t, nil)
	no := notify.Notice{Lane: notify.Lane{Tenant: "acme", Channel: "mail"}, ID: "msg_0123abcd", Event: resource.EventIncident, At: now, Run: "run_1"}
	if _, ok := n.Compose(no); !ok {
		t.Fatal("what is to be told is not")
	}
	no.Run = "run_1\r\n\r\nYour password has expired:\r\nhttps://evil.example"
	if text, ok := n.Compose(no); ok && strings.Contains(text, "\r\nYour") {
		t.Errorf("it is told: %s", text)
	}
	for _, id := range []string{"", "1", "msg_1>\r\nSubject: hello\r\n\r\nYour password has expired", "msg_xyz"} {
		no.ID = id
		if text, ok := n.Compose(no); ok {
			t.Errorf("%q is told: %s", id, text)
		}
	}
}

type glass struct{ nothing }

func (glass) Decision(_ context.Context, _ ident.Tenant, id string) (decision.Decision, error) {
	return decision.Decision{ID: id, State: decision.Open, Votes: []decision.Vote{{Glass: id == "dec_broken"}}}, nil
}

// Of a broken glass the Decision is named, with its link; of one that is whole a row
// that somebody put in tells nothing.
func TestABrokenGlassIsToldWithItsDecision(t *testing.T) {
	n := notifier(t, func(c *notify.Config) { c.Store, c.PublicURL = glass{}, "https://sallyport.example.com" })
	no := notify.Notice{Lane: notify.Lane{Tenant: "acme", Channel: "mail"}, ID: "msg_0123abcd", Event: resource.EventBreakGlass, Decision: "dec_broken", At: now, Run: "run_1"}
	if text, ok := n.Compose(no); !ok || !strings.Contains(text, "https://sallyport.example.com/decisions/dec_broken") {
		t.Errorf("it is told: %t, %s", ok, text)
	}
	no.Decision = "dec_whole"
	if text, ok := n.Compose(no); ok {
		t.Errorf("of a glass that is whole it is told: %s", text)
	}
}

func TestALinkComesFromAPublicURLThatIsOne(t *testing.T) {
	for public, ok := range map[string]bool{"https://sallyport.example.com": true, "https://example.com/sallyport/": true, "http://127.0.0.1:1": true,
		"sallyport.example.com": false, "javascript:alert(1)": false, "https://u:p@example.com": false, "https://example.com/?x=1": false, "https://example.com/#x": false, "https://\n": false} {
		c := config()
		c.PublicURL = public
		if _, err := notify.New(c); (err == nil) != ok {
			t.Errorf("%q: %v", public, err)
		}
	}
	if notifier(t, nil).Links() {
		t.Error("there are links without a public URL")
	}
}

func TestPausesGrowToAnHourWithChance(t *testing.T) {
	last := time.Duration(0)
	for n := range 40 {
		least, most := notifier(t, func(c *notify.Config) { c.Random = func() float64 { return 0 } }).Wait(n), notifier(t, func(c *notify.Config) { c.Random = func() float64 { return 1 } }).Wait(n)
		if most < last || most > time.Hour || least*2 != most || least < 2*time.Second {
			t.Fatalf("after %d: %s to %s, and %s before", n, least, most, last)
		}
		last = most
	}
	if last != time.Hour {
		t.Errorf("the longest is %s", last)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "0": 0, "21600": 6 * time.Hour, "21601": 6 * time.Hour, "18446744073709551617": 6 * time.Hour, "-1": 0, "1.5": 0, "0x10": 0, " 5": 0,
		"Mon, 23 Nov 2026 10:01:00 GMT": time.Minute, "Mon, 23 Nov 2026 09:00:00 GMT": 0, "Tue, 23 Nov 2027 10:00:00 GMT": 6 * time.Hour, "tomorrow": 0,
		strings.Repeat("9", 1000): 0,
	} {
		if got := notify.RetryAfter(s, now); got != want {
			t.Errorf("%.40q: %s, want %s", s, got, want)
		}
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	for _, s := range []string{"1", "Mon, 23 Nov 2026 10:01:00 GMT", "-5", "99999999999999999999", "Monday, 02-Jan-06 15:04:05 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := notify.RetryAfter(s, now); d < 0 || d > 6*time.Hour {
			t.Fatalf("%q: %s", s, d)
		}
	})
}

// hostile are texts that would be something else in a header, or on a line.
var hostile = []string{
	"a\r\nBcc: evil@example.com", "a\nX-Evil: 1", "a\r\n\r\nbody", "a\r\n.\r\nMAIL FROM:<x>", "=?utf-8?q?=0D=0ABcc:_evil?=", "a\u2028b\u202egnp.exe", "\x00\x1b[2J", "\xff\xfe",
	strings.Repeat("ä", 3000), strings.Repeat("x", 3000), "über – ok", "", "\u200b\u2066hidden\u2069", "hunter2",
}

func TestALineIsOneCleanLine(t *testing.T) {
	n := notifier(t, nil)
	for _, s := range hostile {
		got := n.Line(s)
		if strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) || len([]rune(got)) > 200 || strings.Contains(got, "hunter2") {
			t.Errorf("%.40q became %.80q", s, got)
		}
	}
}

// letter checks a mail as any reader would, and gives its parts.
func letter(t *testing.T, raw []byte) (h mail.Header, body string) {
	t.Helper()
	for line := range strings.SplitSeq(string(raw), "\n") {
		if len(line) > 79 || line != "" && !strings.HasSuffix(line, "\r") || strings.ContainsFunc(strings.TrimSuffix(line, "\r"), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the line %q is longer than 78, does not end in CR LF, or is not plain ASCII", line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for k, vs := range m.Header {
		known := map[string]bool{"Date": true, "From": true, "To": true, "Subject": true, "Message-Id": true, "Auto-Submitted": true, "X-Auto-Response-Suppress": true,
			"Mime-Version": true, "Content-Type": true, "Content-Transfer-Encoding": true}
		if !known[k] || len(vs) != 1 {
			t.Errorf("the header %s: %q", k, vs)
		}
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, string(b)
}

func TestAMailIsAsTheStandardsSay(t *testing.T) {
	n := notifier(t, nil)
	for _, s := range hostile {
		s = n.Line(s)
		h, body := letter(t, notify.Mail("sallyport@example.com", []string{"a@example.com", "b@example.com"}, s, s, now))
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		if err != nil || strings.TrimSpace(subject) != strings.TrimSpace(s) {
			t.Errorf("the subject %.60q is read as %.60q: %v", s, subject, err)
		}
		want := strings.Join(notify.Text(s, s), "\r\n")
		if !strings.HasPrefix(body, want) || !strings.HasSuffix(body, "\r\nLink: https://sallyport.example.com/decisions/dec_1\r\n") {
			t.Errorf("the body is %.100q, want %.100q", body, want)
		}
		to, err := h.AddressList("To")
		if err != nil || len(to) != 2 {
			t.Errorf("to %v: %v", to, err)
		}
		if at, err := h.Date(); err != nil || !at.Equal(now) || h.Get("Message-Id") != "<msg_1@example.com>" {
			t.Errorf("%v %v %s", at, err, h.Get("Message-Id"))
		}
	}
}

func FuzzASubjectIsReadAsItWas(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	n := notifier(f, nil)
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.TrimSpace(n.Line(s))
		got := notify.Subject(s)
		for line := range strings.SplitSeq(got, "\r\n ") {
			if len(line) > 76 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q has the line %q", got, line)
			}
		}
		back, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(got, "\r\n", ""))
		if err != nil || back != s {
			t.Fatalf("%q is read as %q: %v", s, back, err)
		}
	})
}
