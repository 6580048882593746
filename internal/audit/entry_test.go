package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func sha(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestAnEntryHasOneForm(t *testing.T) {
	b, err := audit.Encode(7, claimed("acme"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"actor":"run:run_1","at":"2026-11-23T12:00:00.123Z","connection":"erp-write","fields":{"approvers":["acc_2"],` +
		`"args":"` + sha("args") + `","decision":"dec_1","digest":"` + sha("intent") + `","effect":"write","fence":1,` +
		`"policies":["default-1"],"policySet":"` + sha("policies") + `","secret":"erp-write","secretVersion":3,"verdict":"ask"},` +
		`"index":7,"intent":"int_1","mission":"onboarding","run":"run_1","tenant":"acme","tool":"create_vendor","type":"intent.claimed","v":1}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	e, err := audit.ParseEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	if e.Index != 7 || !e.At.Equal(noon.Truncate(time.Millisecond)) || e.Fields["fence"] != int64(1) ||
		!reflect.DeepEqual(e.Fields["approvers"], []string{"acc_2"}) {
		t.Errorf("read back as %+v", e)
	}
}

func TestAnEventOutsideTheAllowListIsRefused(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, spoil := range map[string]func(*audit.Event){
		"unknown type":              func(e *audit.Event) { e.Type = "intent.dreamt" },
		"no type":                   func(e *audit.Event) { e.Type = "" },
		"no tenant":                 func(e *audit.Event) { e.Tenant = "" },
		"a tenant with a slash":     func(e *audit.Event) { e.Tenant = "acme/other" },
		"no time":                   func(e *audit.Event) { e.At = time.Time{} },
		"a time before the epoch":   func(e *audit.Event) { e.At = time.Unix(-1, 0) },
		"a year of five digits":     func(e *audit.Event) { e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no actor":                  func(e *audit.Event) { e.Actor = "" },
		"a terminal escape":         func(e *audit.Event) { e.Tool = "\x1b[2Jcreate" },
		"a line break in a name":    func(e *audit.Event) { e.Connection = "erp\nread" },
		"text that runs backwards":  func(e *audit.Event) { e.Run = "run_\u202e1" },
		"a name that is too long":   func(e *audit.Event) { e.Mission = long },
		"invalid UTF-8":             func(e *audit.Event) { e.Actor = "run:\xff" },
		"a field it does not have":  func(e *audit.Event) { e.Fields["seal"] = "file" },
		"a field nobody has":        func(e *audit.Event) { e.Fields["password"] = "x" },
		"a body instead of digest":  func(e *audit.Event) { e.Fields["args"] = `{"iban":"DE89"}` },
		"a digest in upper case":    func(e *audit.Event) { e.Fields["args"] = strings.ToUpper(sha("a")) },
		"a short digest":            func(e *audit.Event) { e.Fields["args"] = sha("a")[:63] },
		"a number as text":          func(e *audit.Event) { e.Fields["fence"] = "1" },
		"a fraction":                func(e *audit.Event) { e.Fields["fence"] = 1.5 },
		"a number JSON can't keep":  func(e *audit.Event) { e.Fields["fence"] = int64(1<<53 + 1) },
		"a list as a name":          func(e *audit.Event) { e.Fields["effect"] = []string{"write"} },
		"a name as a list":          func(e *audit.Event) { e.Fields["approvers"] = "acc_2" },
		"an empty name in a list":   func(e *audit.Event) { e.Fields["approvers"] = []string{""} },
		"a map":                     func(e *audit.Event) { e.Fields["effect"] = map[string]any{"a": 1} },
		"bytes":                     func(e *audit.Event) { e.Fields["effect"] = []byte("write") },
		"a flag that is a string":   func(e *audit.Event) { e.Fields["selfApproval"] = "true" },
		"no fence":                  func(e *audit.Event) { delete(e.Fields, "fence") },
		"an empty intent digest":    func(e *audit.Event) { e.Fields["digest"] = "" },
		"no digest of the argument": func(e *audit.Event) { e.Fields["args"] = nil },
		"too many names": func(e *audit.Event) {
			e.Fields["approvers"] = strings.Split(strings.Repeat("a,", 1000)+"a", ",")
		},
		"over 60 KiB": func(e *audit.Event) {
			e.Fields["approvers"] = strings.Split(strings.Repeat(strings.Repeat("é", 120)+",", 260)+"a", ",")
		},
	} {
		t.Run(name, func(t *testing.T) {
			ev := claimed("acme")
			spoil(&ev)
			if b, err := audit.Encode(1, ev); !fault.Is(err, fault.Invalid) {
				t.Errorf("it was taken (%v): %s", err, b)
			} else if strings.Contains(err.Error(), "DE89") {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
}

func TestTheLogOpensItself(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	err := m.do(seq, func(b *audit.Batch) error {
		_, err := b.Append(audit.Event{Type: audit.LogOpened, Tenant: "acme", At: noon, Actor: "person:acc_1",
			Fields: map[string]any{"verifier": "mine"}})
		return err
	})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a forged opening was taken: %v", err)
	}
}

func TestStringTypesTimesAndEmptyValuesAreTaken(t *testing.T) {
	type state string
	ev := audit.Event{Type: audit.IntentDecided, Tenant: "acme", At: noon, Actor: "person:acc_2", Fields: map[string]any{
		"state": state("APPROVED"), "expires": noon.Add(time.Hour), "why": "", "approvers": []state{"acc_2"}, "revision": int32(0),
		"selfApproval": false, "policies": []string{}}}
	b, err := audit.Encode(1, ev)
	if err != nil {
		t.Fatal(err)
	}
	want := `"fields":{"approvers":["acc_2"],"expires":"2026-11-23T13:00:00.123Z","revision":0,"selfApproval":false,"state":"APPROVED"}`
	if !strings.Contains(string(b), want) {
		t.Errorf("%s does not have %s", b, want)
	}
}

func TestAReasonIsCutToOneShortLine(t *testing.T) {
	for in, want := range map[string]string{
		"fine":                      "fine",
		" two\r\nlines\x1b[0m ":     "two lines [0m",
		"right\u202eleft\u200bnone": "right left none",
		"half\xff":                  "half",
		strings.Repeat("é", 2000):   strings.Repeat("é", 498) + "…",
		strings.Repeat("x", 1000):   strings.Repeat("x", 1000),
	} {
		if got := audit.Short(in); got != want {
			t.Errorf("Short(%.40q) = %.40q of %d bytes", in, got, len(got))
		}
	}
}

// FuzzShort: whatever a Worker sends can be recorded.
func FuzzShort(f *testing.F) {
	for _, s := range []string{"", "fine", "\x1b[2J", "\u202e\u2028\ufeff", "half\xff", strings.Repeat("é", 2000), "\ufffd", "a\u00a0b", "\U000e0041"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s := audit.Short(in)
		ev := audit.Event{Type: audit.IntentDenied, Tenant: "acme", At: noon, Actor: "run:run_1", Connection: s, Tool: s,
			Fields: map[string]any{"why": s, "verdict": s}}
		b, err := audit.Encode(1, ev)
		if err != nil {
			t.Fatalf("%q can't be recorded: %v", in, err)
		}
		if _, err := audit.ParseEntry(b); err != nil {
			t.Fatalf("%q can't be read back: %v", in, err)
		}
	})
}

var spoiledEntries = []string{
	``, `{}`, `null`, `[]`, `{"v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":1,"tenant":"acme","type":"run.started","v":2}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00Z","index":1,"tenant":"acme","type":"run.started","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":-1,"tenant":"acme","type":"run.started","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":1,"tenant":"acme","type":"run.started","v":1} `,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":1,"tenant":"acme","type":"run.started","v":1,"x":1}`,
	`{"Actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":1,"tenant":"acme","type":"run.started","v":1}`,
	`{"actor":"system:b","actor":"system:a","at":"2026-11-23T12:00:00.123Z","index":1,"tenant":"acme","type":"run.started","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","fields":{"turns":1},"index":1,"tenant":"acme","type":"run.started","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","fields":{"turns":1.0},"index":1,"tenant":"acme","type":"run.ended","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","fields":{},"index":1,"tenant":"acme","type":"run.ended","v":1}`,
	`{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","fields":{"why":""},"index":1,"tenant":"acme","type":"run.ended","v":1}`,
}

func TestAnEntryInAnotherFormIsRefused(t *testing.T) {
	good := `{"actor":"system:a","at":"2026-11-23T12:00:00.123Z","fields":{"turns":1},"index":1,"tenant":"acme","type":"run.ended","v":1}`
	if _, err := audit.ParseEntry([]byte(good)); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	for _, s := range spoiledEntries {
		if _, err := audit.ParseEntry([]byte(s)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s was taken: %v", s, err)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	b, err := audit.Encode(7, claimed("acme"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range spoiledEntries {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := audit.ParseEntry(in)
		if err != nil {
			return
		}
		again, err := audit.Encode(e.Index, e.Event)
		if err != nil || string(again) != string(in) {
			t.Errorf("%q was taken, and is written as %q (%v)", in, again, err)
		}
	})
}

// FuzzEncode: an entry is written in its canonical form at once, whatever stands in it.
func FuzzEncode(f *testing.F) {
	f.Add("a reason", "run_1", "acc_2", int64(7))
	f.Add("\"quoted\"\\ \b\t\n\f\r\x01 <&> \u2028 é 𝄞", "é", "a\"b", int64(1<<53))
	f.Fuzz(func(t *testing.T, why, run, approver string, n int64) {
		ev := audit.Event{Type: audit.IntentDecided, Tenant: "acme", At: noon, Actor: "person:acc_2", Run: run,
			Fields: map[string]any{"why": why, "approvers": []string{approver}, "revision": n, "selfApproval": n%2 == 0}}
		b, err := audit.Encode(n, ev)
		if err != nil {
			return
		}
		if c, err := intent.Canonical(b); err != nil || string(c) != string(b) {
			t.Errorf("%s is not canonical: %s (%v)", b, c, err)
		}
		if e, err := audit.ParseEntry(b); err != nil || e.Run != run || e.Index != n {
			t.Errorf("%s is read as %v (%v)", b, e, err)
		}
	})
}
