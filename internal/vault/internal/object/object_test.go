package object_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
)

func TestMembersAreThoseThatAreWritten(t *testing.T) {
	m, err := object.Members([]byte(` { "a" : "x\"}" , "b":{"c":[1,{"d":"]"}]},"e":-1.5e3, "f":null ,"":true} `))
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"a": `"x\"}"`, "b": `{"c":[1,{"d":"]"}]}`, "e": "-1.5e3", "f": "null", "": "true"} {
		if string(m[k]) != want {
			t.Errorf("%q is %s", k, m[k])
		}
	}
	for _, bad := range []string{"", "[]", `"x"`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":1} x`, `{`, `{"a":1}{"b":2}`, "null"} {
		if _, err := object.Members([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestElementsAreThoseThatAreWritten(t *testing.T) {
	for raw, want := range map[string][]string{` [ 1 , "a]\"" ,{"b":[2,3]},[ ], null] `: {"1", `"a]\""`, `{"b":[2,3]}`, "[ ]", "null"}, "[]": nil, `["x"]`: {`"x"`}} {
		got, err := object.Elements([]byte(raw))
		if err != nil || len(got) != len(want) {
			t.Errorf("%s has %q, %v", raw, got, err)
			continue
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Errorf("%s has %q, want %q", raw, got[i], want[i])
			}
		}
	}
	for _, bad := range []string{"", "{}", "[1", "[1,]", "[1] 2", "null", `"[1]"`} {
		if got, err := object.Elements([]byte(bad)); err == nil {
			t.Errorf("%s was taken as %q", bad, got)
		}
	}
}

func FuzzElements(f *testing.F) {
	for _, s := range []string{`[1,"a]",{"b":[2]}]`, `[[[]],""]`, ` [ ] `, `[1e9,-0.5]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := object.Elements(raw)
		if err != nil {
			return
		}
		var want []json.RawMessage
		if err := json.Unmarshal(raw, &want); err != nil || len(want) != len(got) {
			t.Fatalf("%d elements of %q, want %d (%v)", len(got), raw, len(want), err)
		}
		for i := range want {
			if string(got[i]) != string(want[i]) {
				t.Errorf("%d is %s, want %s", i, got[i], want[i])
			}
		}
	})
}

func TestATextSaysWhatItSaysToOthers(t *testing.T) {
	for raw, want := range map[string]string{
		`"a\u00e4\n\/\\\""`: "aä\n/\\\"", `"\ud83d\ude00!"`: "😀!", `""`: "", `"\ud83d\ude00"`: "😀", `"x\ud83d\ude00\ud83d\ude00"`: "x😀😀",
	} {
		if got, ok := object.Text([]byte(raw)); !ok || string(got) != want {
			t.Errorf("%s says %q", raw, got)
		}
	}
	for _, bad := range []string{`"\ud83d"`, `"\ud83dx"`, `"\udc00\ud83d"`, "\"\xff\"", `1`, `"`, `"a" `, ``, `"\x"`} {
		if b, ok := object.Text([]byte(bad)); ok {
			t.Errorf("%s was taken as %q", bad, b)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{"a":"b"}`, `{"a":{"b":["]",1]},"c":1e9}`, `{"a":1,"a":2}`, `{"\ud83d\ude00":"\ud83d\ude00\ud800"}`, ` {} `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := object.Members(raw)
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(raw, &want); err != nil || len(want) != len(m) {
			t.Fatalf("%d members of %q, want %d (%v)", len(m), raw, len(want), err)
		}
		fields, err := object.Fields(raw)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if string(m[k]) != string(v) {
				t.Errorf("%q is %s, want %s", k, m[k], v)
			}
			var s string
			if got, ok := fields[k]; ok && (json.Unmarshal(v, &s) != nil || s != string(plain.Bytes(got))) {
				t.Errorf("%s says %q, want %q", v, plain.Bytes(got), s)
			}
		}
	})
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("a\"\\\n\x00ä😀"))
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, ok := object.Append(nil, b)
		if ok != utf8.Valid(b) {
			t.Fatalf("%q: %v", b, ok)
		}
		if got, _ := object.Text(raw); ok && string(got) != string(b) {
			t.Errorf("%q came back as %q", b, got)
		}
	})
}
