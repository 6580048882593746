package cli_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"sallyport.dev/client"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// FuzzPlain: JSON means the same without the escapes that pages need, and has none
// of them any more.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"a&b", `back\\slash`, `\u0026`, `\\u003c`, "<b>", "\"&\"", "\xff", "x\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var was, is string
		out := cli.Plain(string(b))
		if json.Unmarshal(b, &was) != nil || json.Unmarshal([]byte(out), &is) != nil || was != is {
			t.Fatalf("%s became %s", b, out)
		}
		if strings.ContainsAny(was, "&<>") && !strings.ContainsAny(out, "&<>") {
			t.Fatalf("%s still has the escapes", out)
		}
	})
}

// FuzzVisible: whatever somebody else wrote, the terminal gets printable text.
func FuzzVisible(f *testing.F) {
	for _, s := range []string{"plain", "ring\a", "\x1b]0;title\a\x1b[2J", "\u009b31m", "pay \u202etxt.exe", "zero\u200bwidth", "line\nfake: line", "\xff\xfe", "Ünïcode – 漢字"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range cli.Visible(s) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U gets through", r)
			}
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(cli.Block(s), "\n"), "\n") {
			if !strings.HasPrefix(line, "  | ") {
				t.Fatalf("a line begins where ours do: %q", line)
			}
		}
	})
}

// FuzzEscaped: JSON stays the same value, and has nothing invisible in it.
func FuzzEscaped(f *testing.F) {
	for _, s := range []string{"plain", "\u009b31m", "pay \u202etxt.exe", "\U000e0041 tag", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		in, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out := cli.Escaped(string(in))
		for _, r := range out {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U gets through", r)
			}
		}
		var a, b string
		if json.Unmarshal(in, &a) != nil || json.Unmarshal([]byte(out), &b) != nil || a != b {
			t.Fatalf("%s became %s", in, out)
		}
	})
}

func TestAPathsPartsCantLeadElsewhere(t *testing.T) {
	for in, want := range map[string]string{
		"crm-token": "/v1/secrets/crm-token", "..": "/v1/secrets/%2E%2E", "a/b": "/v1/secrets/a%2Fb", "a?b#c": "/v1/secrets/a%3Fb%23c",
	} {
		if got := cli.Route("v1", "secrets", in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// Rows that are refused fail a check as an audit log with findings does, and so does
// a restore that was not made because of them.
func TestRefusedRowsOfABackupHaveTheirExitCode(t *testing.T) {
	rows := []sqlite.RefusedRow{{Tenant: "acme", Table: "resource", Name: "Policy/x", Why: "its row was removed"}}
	for _, c := range []struct {
		rows   []sqlite.RefusedRow
		verify bool
		dir    string
		want   int
	}{{nil, true, "", 0}, {rows, true, "", 9}, {rows, false, "", 9}, {rows, false, "made", 0}, {nil, false, "made", 0}} {
		rep := app.RestoreReport{Opened: true, Audit: &audit.Report{Logs: []audit.LogReport{{Tenant: "acme"}}}, Secrets: &vault.Count{}, Rows: c.rows, Dir: c.dir, Ended: &app.Ended{}}
		if got := cli.RestoreCode(rep, c.verify); got != c.want {
			t.Errorf("%+v: exit code %d", c, got)
		}
	}
}

func TestEveryKindOfErrorHasItsExitCode(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Internal: 1, fault.Invalid: 1, fault.Unauthenticated: 4, fault.Denied: 3, fault.NotFound: 5,
		fault.Pending: 8, fault.Conflict: 1, fault.Limit: 1, fault.Unavailable: 1, fault.Unknown: 1,
	} {
		for _, err := range []error{fault.New(kind, "x"), &client.Problem{Kind: string(kind)}} {
			if got := cli.CodeOf(errors.Join(err)); got != want {
				t.Errorf("%s: %d", kind, got)
			}
		}
	}
}
