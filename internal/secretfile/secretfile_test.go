package secretfile_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport.dev/internal/secretfile"
)

// shown is what was read, one entry a line.
func shown(entries []secretfile.Entry, bad []secretfile.Problem) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d %s=%q\n", e.Line, e.Key, e.Fields["token"])
	}
	for _, p := range bad {
		fmt.Fprintf(&b, "%d: %s\n", p.Line, p.What)
	}
	return b.String()
}

func TestAnEnvFileIsReadAsOthersReadIt(t *testing.T) {
	for in, want := range map[string]string{
		"A=b":                                 `1 A="b"`,
		"\ufeffA=b\r\nC=d\r\n":                "1 A=\"b\"\n2 C=\"d\"",
		"# no\n\n  \t\nexport A = b c  # no":  `4 A="b c"`,
		"export\tA=b":                         `1 A="b"`,
		"export=b":                            `1 export="b"`,
		"a.b_1=c=d==":                         `1 a.b_1="c=d=="`,
		"A='b#$\"`\\n d' # no":                `1 A="b#$\"` + "`" + `\\n d"`,
		`A="b\n\t\\\"\$\` + "`" + `' # c" #d`: `1 A="b\n\t\\\"$` + "`" + `' # c"`,
		"A=\"--BEGIN\n# not a comment\nB=c\n\"\nD=e": "1 A=\"--BEGIN\\n# not a comment\\nB=c\\n\"\n5 D=\"e\"",
		"A=\"b\r\nc\"":              `1 A="b\nc"`,
		"A=\"b \t\nc \" \t":         `1 A="b \t\nc "`,
		"A='b ' \t":                 `1 A="b "`,
		"A=b \t":                    `1 A="b"`,
		"A=b/c+d-e.f~g!h%i&j*k(l)m": `1 A="b/c+d-e.f~g!h%i&j*k(l)m"`,
	} {
		if got := strings.TrimSuffix(shown(secretfile.Parse([]byte(in), nil)), "\n"); got != want {
			t.Errorf("%q is read as\n%s, want\n%s", in, got, want)
		}
	}
}

func TestAnEnvFileThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "1: there is nothing in it",
		"A":                 "1: it is not of the form",
		"A: b":              "1: it is not of the form",
		"1A=b":              "1: it is not of the form",
		"export A":          "1: it is not of the form",
		"A-B=c":             "1: it is not of the form",
		"A=":                "1: the value is empty",
		"A=''":              "1: the value is empty",
		"A=#b":              "1: it is not clear",
		"A=b#c":             "1: the value has a character",
		"A=b$c":             "1: the value has a character",
		"A=$(id)":           "1: the value has a character",
		"A=`id`":            "1: the value has a character",
		`A=b\c`:             "1: the value has a character",
		`A=b"c`:             "1: the value has a character",
		"A=b\rC=d":          "1: the value has a character",
		`A="b$c"`:           "1: in double quotes",
		`A="${c}"`:          "1: in double quotes",
		"A=\"b`c\"":         "1: in double quotes",
		`A="b\xc"`:          "1: there is an escape",
		"A=\"b\\\nc\"\nD=e": "1: a backslash",
		`A="b"c`:            "1: something follows",
		`A="b"#c`:           "1: something follows",
		"A='b'c":            "1: something follows",
		"A='b\nc'\nD=e":     "1: a single quote is not closed",
		`A='it\'s'`:         "1: some readers",
		`A='b\\c'`:          "1: some readers",
		"A=b\nB=\"c\nd":     "2: a double quote is not closed",
		"A=\"b\nB=\"c\"":    "1: a double quote is not closed",
		"A=\"b\nB=\"c\"\nD": "1: a double quote is not closed",
		"A=b\nA=c":          "2: the name was there before",
		"A=b\xff":           "1: there is a byte that is not text",
		"A=b\nB=c\x00":      "2: there is a byte that is not text",
	} {
		entries, bad := secretfile.Parse([]byte(in), nil)
		if len(entries) != 0 || len(bad) == 0 || !strings.HasPrefix(shown(nil, bad), want) {
			t.Errorf("%.40q is read as\n%s, want\n%s", in, shown(entries, bad), want)
		}
	}
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "X%d=b\n", i)
	}
	if _, bad := secretfile.Parse([]byte(many.String()), nil); len(bad) != 1 || bad[0].Line != 1001 {
		t.Errorf("too many: %v", bad)
	}
	if _, bad := secretfile.Parse([]byte("A\nB=c\nD=$e\n\nF=\"\\x\ng\"\nH"), nil); len(bad) != 4 || bad[3].Line != 7 {
		t.Errorf("not every problem is told: %v", bad)
	}
}

func TestWhatACheckRefusesIsToldTogetherWithTheRest(t *testing.T) {
	check := func(e secretfile.Entry) (string, string) {
		if len(e.Fields["token"]) < 3 {
			return "it is too short", "longer"
		}
		return "", ""
	}
	entries, bad := secretfile.Parse([]byte("A=long\nB=s\nC\nD=t"), check)
	if got := shown(entries, bad); got != "2: it is too short\n3: it is not of the form NAME=VALUE\n4: it is too short\n" || bad[0].Hint != "longer" {
		t.Error(got)
	}
	if entries, bad := secretfile.Parse([]byte("A=long"), check); len(entries) != 1 || len(bad) != 0 {
		t.Error(entries, bad)
	}
}

func TestJSONIsReadStrictly(t *testing.T) {
	entries, bad := secretfile.Parse([]byte(`
{"ERP_TOKEN": "a\"b",
 "login": {"fields": {"username": "bob", "password": "x"}, "description": "d", "owner": "o", "labels": {"a": "b"},
   "origins": ["https://erp.example"], "methods": ["GET"], "missions": ["m"], "integrations": ["i"], "schemes": ["basic"], "expires": "90d"},
 "any": {"fields": {"token": "x"}, "anyOrigin": true}}`), nil)
	if len(bad) != 0 || len(entries) != 3 {
		t.Fatalf("%v", bad)
	}
	if got := fmt.Sprintf("%+v", entries[1]); entries[1].Line != 3 || string(entries[1].Fields["username"]) != "bob" || !strings.Contains(got, "Origins:[https://erp.example]") || entries[1].Expires != "90d" {
		t.Errorf("it is read as %s", got)
	}
	if string(entries[0].Fields["token"]) != `a"b` || !entries[2].Scope.AnyOrigin {
		t.Errorf("they are read as %+v", entries)
	}
	for in, want := range map[string]string{
		`{}`:                                "1: there is nothing in it",
		`{"A": 7}`:                          "1: the entry is neither",
		`{"A": null}`:                       "1: the entry is neither",
		"{\"A\": \"b\",\n\"A\": \"c\"}":     "2: the name was there before",
		`{"A": "b"} x`:                      "1: there is something after",
		`{"A": "b"} {"C": "d"}`:             "1: there is something after",
		`{"A": "b"`:                         "1: it is not JSON",
		"{\"A\":\n\"b}":                     "1: it is not JSON",
		`{"A" "b"}`:                         "1: it is not JSON",
		`{"A": {"fields": {"token": 7}}}`:   "1: the entry has an unknown part",
		`{"A": {"feilds": {"token": "b"}}}`: "1: the entry has an unknown part",
		`{"A": {"fields": {}}}`:             "1: the entry has no fields",
		`{"A": {"fields": {"token": "b", "token": "c"}}}`:         "1: a name is in the entry twice",
		`{"A": {"fields": {"token": "b"}, "Fields": {"x": "c"}}}`: "1: a name is in the entry twice",
		`{"A": ""}`:                           "1: a value is empty",
		`{"A": "\ud800"}`:                     "1: a value has an escape",
		`{"A": "\u0000"}`:                     "1: a value has an escape",
		"{\"A\": 1,\n\"B\": \"c\", \"D\": 2}": "1: the entry is neither",
	} {
		entries, bad := secretfile.Parse([]byte(in), nil)
		if len(entries) != 0 || len(bad) == 0 || !strings.HasPrefix(shown(nil, bad), want) {
			t.Errorf("%q is read as\n%s, want\n%s", in, shown(entries, bad), want)
		}
	}
}

// FuzzParse: there are entries or problems; a problem repeats nothing of the
// file; what is read can be written in quotes and is read as the same again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"A=b\nexport C='d' # e\nF=\"g\\n\nh\"", `{"A":"b","C":{"fields":{"token":"d"},"origins":["https://e"]}}`, "A=\"", "\xff", "{", "A='\\'",
		"QUJDREVGR0hJSktMTU5P=\n-----END", `{"A":{"fields":{"a":"b","A":"c"}}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		entries, bad := secretfile.Parse([]byte(s), nil)
		if (len(entries) == 0) == (len(bad) == 0) {
			t.Fatalf("%d entries and %d problems", len(entries), len(bad))
		}
		for _, p := range bad {
			if p.Line < 1 || p.Line > 1+strings.Count(s, "\n") || p.What == "" {
				t.Fatalf("the problem %+v", p)
			}
		}
		var again strings.Builder
		for _, e := range entries {
			v := string(e.Fields["token"])
			if len(e.Fields) != 1 || v == "" || strings.ContainsRune(e.Key, '-') || !utf8.ValidString(v) || strings.HasPrefix(strings.TrimSpace(s), "{") {
				return
			}
			fmt.Fprintf(&again, "%s=\"%s\"\n", e.Key, strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "$", "\\$", "`", "\\`", "\r", "\\r").Replace(v))
		}
		if got, bad := secretfile.Parse([]byte(again.String()), nil); len(bad) != 0 && len(entries) != 0 || len(got) != len(entries) {
			t.Fatalf("%q was written as %q and is refused: %v", s, again.String(), bad)
		} else {
			for i := range got {
				if string(got[i].Fields["token"]) != string(entries[i].Fields["token"]) {
					t.Fatalf("%q became %q", entries[i].Fields["token"], got[i].Fields["token"])
				}
			}
		}
	})
}

func TestAnEntryCanSayWhereItsValueIs(t *testing.T) {
	got, bad := secretfile.Parse([]byte(`{"crm": {"pointer": {"at": "corp:team/crm", "fields": {"token": "value"}, "staleness": "1m"}, "origins": ["https://crm.example.com"]}}`), nil)
	if len(bad) > 0 || len(got) != 1 || got[0].Pointer == nil || got[0].Pointer.At != "corp:team/crm" || len(got[0].Fields) != 0 {
		t.Errorf("%+v, %v", got, bad)
	}
	for _, text := range []string{`{"crm": {"pointer": {"at": "corp:x"}, "fields": {"token": "x"}}}`, `{"crm": {"pointer": {"path": "x"}}}`, `{"crm": {"pointer": "corp:x"}}`, `{"crm": {}}`} {
		if _, bad := secretfile.Parse([]byte(text), nil); len(bad) == 0 {
			t.Errorf("%s was taken", text)
		}
	}
}
