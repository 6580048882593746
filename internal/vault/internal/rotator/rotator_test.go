package rotator

import (
	"bytes"
	"context"
	"crypto/fips140"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// It must see inside: nothing of it is exported beyond the vault.

// The verifier is the one of RFC 7677's example.
func TestAVerifierIsWhatTheStandardSays(t *testing.T) {
	got, err := verifier([]byte("pencil"), []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81})
	if want := "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="; err != nil || got != want {
		t.Errorf("it is %s, %v", got, err)
	}
	if fips140.Enforced() {
		if s, err := (mysqlServer{}).set(Job{Rotator: resource.Rotator{SQL: &resource.SQLRotator{}}}, "10.11.6-MariaDB", "app", []byte("password")); !fault.Is(err, fault.Denied) {
			t.Errorf("in FIPS mode MariaDB is told %q, %v", s, err)
		}
		return
	}
	if got := nativeHash([]byte("password")); got != "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19" {
		t.Errorf("the native hash is %s", got)
	}
}

// A user's name is a name, whatever it has in it.
func TestAUsersNameBreaksOutOfNoStatement(t *testing.T) {
	s, err := postgres{}.set(Job{}, "", `a"; DROP ROLE b; --`, nil)
	if err != nil || s != `ALTER ROLE "a""; DROP ROLE b; --" PASSWORD NULL` {
		t.Errorf("%s, %v", s, err)
	}
	for _, user := range []string{`a'@'%'; DROP USER b; --`, `a\`} {
		if s, err := (mysqlServer{}).set(Job{Rotator: resource.Rotator{SQL: &resource.SQLRotator{}}}, "", user, nil); err == nil {
			t.Errorf("%s is taken: %s", user, s)
		}
	}
}

// A program gets credentials on its standard input alone, and what it says is
// repeated nowhere.
func TestAProgramIsGivenCredentialsOnItsInputAlone(t *testing.T) {
	const secret = "pw-Zq83mPw0vXr5-of-the-new-one"
	dir := t.TempDir()
	for name, c := range map[string]struct {
		script string
		kind   fault.Kind // "": done
	}{
		"done":          {`cat > "` + dir + `/in"; tr '\0' '\n' < /proc/$$/cmdline > "` + dir + `/args"; env > "` + dir + `/env"; printf '{"v":1,"result":"done"}'`, ""},
		"refused":       {`cat > /dev/null; printf '{"v":1,"result":"refused"}'`, fault.Denied},
		"unknown":       {`cat > /dev/null; printf '{"v":1,"result":"unknown"}'`, fault.Unknown},
		"an echo":       {`cat; cat >&2; exit 0`, fault.Unknown},
		"a failure":     {`cat >&2; exit 3`, fault.Unknown},
		"too much":      {`cat > /dev/null; head -c 100000 /dev/zero`, fault.Unknown},
		"twice":         {`cat > /dev/null; printf '{"v":1,"result":"refused","result":"done"}'`, fault.Unknown},
		"another shape": {`cat > /dev/null; printf '{"v":2,"result":"done"}'`, fault.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rotate")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("LEAK", secret)
			j := Job{Rotation: "rot_1", Version: Fields{"password": plain.New([]byte(secret))}, Rotator: resource.Rotator{Kind: resource.RotatorExec, Exec: &resource.ExecRotator{Program: "ldap"}},
				Program: func(string) (Program, bool) { return Program{Path: path}, true }}
			err := execRotator{}.Apply(context.Background(), j)
			if fault.KindOf(err) != c.kind {
				t.Fatalf("it is %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "Zq83") || strings.Contains(fault.HintOf(err), "Zq83")) {
				t.Errorf("the error repeats what the program said: %v", err)
			}
			if c.kind != "" {
				return
			}
			for _, file := range []string{"args", "env"} {
				if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || bytes.Contains(b, []byte("Zq83")) {
					t.Errorf("%s of the program has the credential: %v", file, err)
				}
			}
			if b, err := os.ReadFile(filepath.Join(dir, "in")); err != nil || !bytes.HasPrefix(b, []byte(`{"v":1,"op":"apply","rotation":"rot_1","version":{"password":"`)) {
				t.Errorf("its input is %q, %v", b, err)
			}
		})
	}
	if err := (execRotator{}).Try(context.Background(), Job{Rotator: resource.Rotator{Exec: &resource.ExecRotator{Program: "x"}}, Program: func(string) (Program, bool) { return Program{}, false }}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a program that nobody named: %v", err)
	}
}

func TestGeneratedValuesDifferAndHaveTheirLength(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		b := string(Generate(made))
		if len(b) != made || seen[b] || strings.Trim(b, alphabet) != "" {
			t.Fatalf("%q", b)
		}
		seen[b] = true
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"id":"k-1","token":"tok-Zq83mPw0"}`, `{"id":7,"token":""}`, `{"token":"a","token":"b"}`, `[]`, `{"id":"../x","token":"y"}`, `{"a":{"b":[1,{"token":"x"}]}}`} {
		f.Add([]byte(s))
	}
	h := &resource.HTTPRotator{Fields: map[string]string{"token": "/token"}, ID: "/id"}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMade(b, h, nil)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || len(m.Fields) != 0 {
				t.Errorf("%v with %d fields", err, len(m.Fields))
			}
			return
		}
		if v := plain.Bytes(m.Fields["token"]); len(v) == 0 || len(v) > maxValue || m.ID == "" || strings.ContainsAny(m.ID, "/? #") {
			t.Errorf("%d bytes, the id %q", len(v), m.ID)
		}
		if _, err := readTokens(b, nil); err != nil && !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
	})
}
