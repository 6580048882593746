package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

func sample() explain.Observation {
	entry := int64(41)
	return explain.Observation{
		Run: "run_1", Seq: 7, At: time.Date(2026, 11, 23, 12, 0, 3, 0, time.UTC), Kind: explain.Decision, Title: "erp / pay waits for a Decision: 2 of finance", Intent: "int_1",
		Text: "the invoice says so\x1b[2J", Data: json.RawMessage(`{"iban":"DE1"}`), Entry: &entry, From: explain.FromWorker,
		Detail: &explain.Detail{Label: explain.NotProof,
			Intent: &explain.Proposal{Connection: "erp", Tool: "pay", Effect: "write", Revision: 1, Args: intent.SHA256(nil),
				Origins: []origin.Origin{{At: "/iban", Kind: origin.Answer, Ref: "int_0", Connection: "mail", Tool: "read", Where: "/body", How: origin.Contained}}},
			Rule: &explain.Rule{Effect: "ask", Approvers: []string{"finance:2"}, Statements: []explain.Statement{{ID: "pay/big", Title: "Big payments"}}},
			Decision: &explain.Decided{ID: "dec_1", State: "open", By: "Ann", Method: "passkey", Waited: 90, Digest: intent.SHA256(nil), Revision: 1, Missing: []string{"1 of finance"},
				Votes: []explain.Vote{{By: "Ann", Team: "finance", Verdict: "approve"}}, Edits: []intent.Change{{Path: "/amount", Was: json.RawMessage("1"), Is: json.RawMessage("2")}}},
			Use:     &explain.KeyUse{Secret: "erp-key", Version: 3, Connection: "erp", Scheme: "bearer", Place: "Authorization"},
			Outcome: &explain.Outcome{State: "COMMITTED", Status: 200},
			WhyNot:  &explain.WhyNot{Kind: "denied", Why: "policy denies this action", Hint: "no statement permits it"},
		}}
}

func TestARecordIsPrintedWithAllOfItsParts(t *testing.T) {
	var b bytes.Buffer
	cli.RailText(&b, 100, false, sample())
	text := b.String()
	for _, want := range []string{"2026-11-23", "12:00:03", "untrusted: worker", "#7", "audit #41", "not proof", "/iban", "answer of mail.read (int_0)", "at /body", "ask finance:2, by pay/big (Big payments)", "dec_1: open, by Ann with passkey, after 1m30s",
		"still needed: 1 of finance", "approve by Ann for finance", "changed /amount: 1 -> 2", "erp-key version 3 of erp, as bearer Authorization", "COMMITTED, HTTP 200", "why not: policy denies", "hint: no statement", `{"iban":"DE1"}`, `\u{001B}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("without colours it has an escape")
	}
	b.Reset()
	if cli.RailText(&b, 100, true, sample()); !strings.Contains(b.String(), "\x1b[1m") || strings.Contains(b.String(), "\x1b[2J") {
		t.Errorf("with colours it is %q", b.String())
	}
}

func TestARecordKeepsToItsWidth(t *testing.T) {
	o := sample()
	o.Title, o.Text = strings.Repeat("word ", 60), strings.Repeat("x", 500)
	for _, width := range []int{40, 80, 200} {
		var b bytes.Buffer
		cli.RailText(&b, width, false, o)
		for i, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > width && i > 1 { // after the day, and the line of marks, which is never cut
				t.Errorf("at %d: %d characters: %s", width, n, line)
			}
		}
		if strings.Count(strings.ReplaceAll(b.String(), "\n           | ", ""), "x") < 500 {
			t.Error("a part of the text is lost")
		}
	}
}

// FuzzRailText: whatever a Worker wrote, no line of it begins like one of ours, and
// the terminal gets printable text.
func FuzzRailText(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "a\n12:00:03  decision   + trusted", "\u202e", strings.Repeat("\u6f22", 300), "\xff"} {
		f.Add(s, 40)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		o := explain.Observation{Seq: 1, Kind: explain.Reasoning, Title: s, Text: s, Detail: &explain.Detail{WhyNot: &explain.WhyNot{Why: s}, Outcome: &explain.Outcome{Edited: s}}}
		var b bytes.Buffer
		cli.RailText(&b, 40+(width%100+100)%100, false, o)
		for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
			if i > 1 && !strings.HasPrefix(line, "           ") || strings.ContainsAny(line, "\x1b\r\u202e") {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	})
}
