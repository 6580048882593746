package kek_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// execBox is what a program is asked to unwrap that never wrapped.
var execBox = kek.Sealed{Kind: kek.KindExec, ID: "test/1", Box: []byte("a ciphertext")}

func TestAProgramOpensWhatItWrappedAndNothingElse(t *testing.T) {
	e := plugin(t, "good")
	s, err := e.Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	if s.Kind != kek.KindExec || s.ID != "test/1" || bytes.Contains(s.Box, plain.Bytes(root())) {
		t.Errorf("%+v", s)
	}
	if got, err := e.Unwrap(t.Context(), aad, s); err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Errorf("it does not open: %v", err)
	}
	flipped, id, empty, huge := s, s, s, s
	flipped.Box = bytes.Clone(s.Box)
	flipped.Box[20] ^= 1
	id.ID, empty.Box, huge.Box = "test/2", nil, make([]byte, 20<<10)
	for name, c := range map[string]struct {
		aad  box.AAD
		s    kek.Sealed
		want fault.Kind
	}{
		"as another vault's":        {box.Bind("root", "vault_2", "1"), s, fault.Denied},
		"a flipped bit":             {aad, flipped, fault.Denied},
		"under another key's id":    {aad, id, fault.Denied},
		"nothing":                   {aad, empty, fault.Invalid},
		"more than a program makes": {aad, huge, fault.Invalid},
	} {
		if got, err := e.Unwrap(t.Context(), c.aad, c.s); !fault.Is(err, c.want) || len(plain.Bytes(got)) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProgramThatBreaksTheContractIsRefused(t *testing.T) {
	ok := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for says, want := range map[string]string{
		``:   "JSON",
		`{}`: "version",
		`{"v":2,"id":"test/1","plaintext":"` + ok + `"}`:                                        "version",
		`{"v":1,"id":"test/1"}`:                                                                 "plaintext",
		`{"v":1,"id":"test/1","plaintext":"AAAA"}`:                                              "32 bytes",
		`{"v":1,"id":"test/1","plaintext":"` + ok + `","ciphertext":"AAAA"}`:                    "ciphertext",
		`{"v":1,"id":"a b","plaintext":"` + ok + `"}`:                                           "id",
		`{"v":1,"id":"","plaintext":"` + ok + `"}`:                                              "id",
		`{"v":1,"id":"test/1","plaintext":"` + ok + `"}{}`:                                      "follows",
		`{"v":1,"id":"test/1","plaintext":"` + ok + `","plaintext":"` + ok + `"}`:               "twice",
		`{"v":1,"id":"test/1","plaintext":"` + ok + `","more":1}`:                               "not known",
		`{"v":1,"id":"test/1","plaintext":"` + ok + `","error":{"kind":"denied","message":""}}`: "at once",
		`{"v":1,"error":{"kind":"other","message":"x"}}`:                                        "no kind",
		`log line first` + "\n" + `{"v":1,"id":"test/1","plaintext":"` + ok + `"}`:              "JSON",
	} {
		v, err := plugin(t, "says:"+says).Unwrap(t.Context(), aad, execBox)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || len(plain.Bytes(v)) > 0 {
			t.Errorf("%s: %v, want %q", says, err, want)
		}
	}
	other := `says-at-unwrap:{"v":1,"id":"test/2","plaintext":"` + ok + `"}`
	if v, err := plugin(t, other).Unwrap(t.Context(), aad, execBox); !fault.Is(err, fault.Denied) || len(plain.Bytes(v)) > 0 {
		t.Errorf("another key's id: %v", err)
	}
	if _, err := plugin(t, "pretends").Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "plaintext") {
		t.Errorf("a program that wraps nothing: %v", err)
	}
	if _, err := plugin(t, "forgets").Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "associated data") {
		t.Errorf("a program that ignores the associated data: %v", err)
	}
}

func TestAProgramsErrorHasItsKindAndWords(t *testing.T) {
	for kind, want := range map[string]fault.Kind{"denied": fault.Denied, "unavailable": fault.Unavailable, "invalid": fault.Invalid} {
		says := `{"v":1,"error":{"kind":"` + kind + `","message":"slot 3 has no such key"}}`
		for _, how := range []string{"says:", "fails:"} {
			if _, err := plugin(t, how+says).Unwrap(t.Context(), aad, execBox); !fault.Is(err, want) || !strings.Contains(err.Error(), "slot 3 has no such key") {
				t.Errorf("%s%s: %v", how, kind, err)
			}
		}
	}
	_, err := plugin(t, "fails:").Unwrap(t.Context(), aad, execBox)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "exit status 3: the device said no") {
		t.Errorf("an exit code and standard error: %v", err)
	}
	good := `{"v":1,"id":"test/1","plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"}`
	if v, err := plugin(t, "fails:"+good).Unwrap(t.Context(), aad, execBox); !fault.Is(err, fault.Unavailable) || len(plain.Bytes(v)) > 0 {
		t.Errorf("a result, and an exit code that says otherwise: %v", err)
	}
}

func TestAnErrorNeverHasWhatWasWrapped(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(37*i + 11)
	}
	parts := []string{base64.StdEncoding.EncodeToString(secret)[:10], base64.RawURLEncoding.EncodeToString(secret)[10:20], hex.EncodeToString(secret)[:10],
		strings.ToUpper(hex.EncodeToString(secret))[:10], fmt.Sprint(secret)[1:15], fmt.Sprintf("%#v", secret)[7:20], fmt.Sprintf("% x", secret)[:14], string(secret[8:14])}
	for _, where := range []string{"stderr", "error"} {
		for _, how := range []string{"raw", "base64", "url", "hex", "HEX", "numbers", "go", "colons"} {
			k := plugin(t, "leaks:"+where+"-"+how)
			// The first operation has no plaintext, so the leak is made of the second.
			_, err := kek.AskForTest(k, t.Context(), "wrap", aad, secret)
			text := fmt.Sprintf("%v %#v %s", err, err, fault.HintOf(err))
			for _, p := range parts {
				if err == nil || strings.Contains(text, p) {
					t.Errorf("%s in %s: %s", how, where, text)
				}
			}
			if err != nil && len(err.Error()) > 180 {
				t.Errorf("%d bytes: %v", len(err.Error()), err)
			}
		}
	}
}

// processes makes a pipe that n processes are going to hold: there is closed when
// they do, and the error comes when none does any more.
func processes(t *testing.T, n int) (pipe string, there chan struct{}, ended chan error) {
	t.Helper()
	pipe = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	there, ended = make(chan struct{}), make(chan error, 1)
	go func() {
		r, err := os.Open(pipe)
		if err == nil {
			_, err = io.ReadFull(r, make([]byte, n)) // each writes one byte
		}
		close(there)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		ended <- err
	}()
	return pipe, there, ended
}

// gone waits for the end of all of them.
func gone(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("something of it lives on")
	}
}

func TestAProgramThatHangsIsKilledWithWhatItStarted(t *testing.T) {
	pipe, there, ended := processes(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-there; cancel() }()
	if _, err := plugin(t, "hangs", pipe).Unwrap(ctx, aad, execBox); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	gone(t, ended)
}

func TestAProgramThatLeavesAnotherBehindIsRefusedAndTheOtherKilled(t *testing.T) {
	pipe, _, ended := processes(t, 1)
	if _, err := plugin(t, "leaves", pipe).Unwrap(t.Context(), aad, execBox); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "left another") {
		t.Errorf("%v", err)
	}
	gone(t, ended)
}

func TestAProgramsTimeIsLimited(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	e := plugin(t, "hangs", pipe) // nobody reads: it hangs at opening it
	kek.Impatient(t, 100*time.Millisecond)
	if _, err := e.Unwrap(t.Context(), aad, execBox); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("%v", err)
	}
}

func TestAProgramsOutputIsBounded(t *testing.T) {
	if _, err := plugin(t, "floods").Unwrap(t.Context(), aad, execBox); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("endless output: %v", err)
	}
}

func TestAProgramInheritsNothing(t *testing.T) {
	t.Setenv("SALLYPORT_CANARY", "canary-of-the-environment")
	path := filepath.Join(t.TempDir(), "open")
	write(t, path, nil, 0o600)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inherited, err := syscall.Dup(int(file.Fd())) // without close-on-exec, as from a service manager
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(inherited) }()
	out := filepath.Join(t.TempDir(), "report")
	if _, err := plugin(t, "reports", out).Wrap(t.Context(), aad, root()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Dir       string
		Env, Open []string
	}
	if err := json.Unmarshal(read(t, out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Dir != "/" || !slices.Equal(got.Env, []string{"TEST_PLUGIN=reports"}) {
		t.Errorf("it sees the directory %s and the environment %q", got.Dir, got.Env)
	}
	if slices.Contains(got.Open, path) {
		t.Errorf("it has the descriptors %q", got.Open)
	}
}

func TestAProgramThatOthersCanChangeIsNotStarted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	path := filepath.Join(dir, "plugin")
	for name, c := range map[string]struct {
		file, dir os.FileMode
		kind      fault.Kind
	}{
		"nobody else can":              {0o755, 0o755, ""},
		"the group can write it":       {0o775, 0o755, fault.Denied},
		"all can write it":             {0o757, 0o755, fault.Denied},
		"the group can replace it":     {0o755, 0o775, fault.Denied},
		"all can replace it":           {0o755, 0o777, fault.Denied},
		"all can add to its directory": {0o755, 0o777 | os.ModeSticky, ""},
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte("#!/bin/sh\necho '{\"v\":1,\"id\":\"script\"}'\n"), c.file)
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		if _, err := kek.NewExec(kek.ExecConfig{Path: path}); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		if _, err := kek.NewExec(kek.ExecConfig{Path: link}); fault.KindOf(err) != c.kind {
			t.Errorf("by a link, %s: %v", name, err)
		}
	}
	e, err := kek.NewExec(kek.ExecConfig{Path: path})
	if err == nil {
		if err = os.Chmod(path, 0o777); err == nil {
			_, err = e.Unwrap(t.Context(), aad, execBox)
		}
	}
	if !fault.Is(err, fault.Denied) {
		t.Errorf("one that became writable later: %v", err)
	}
}

func TestTheConfigurationOfAProgramIsStrict(t *testing.T) {
	path, program := filepath.Join(t.TempDir(), "exec.json"), pluginFile(t)
	for content, want := range map[string]fault.Kind{
		`{"path":"` + program + `","args":["--slot","3"],"env":{"LANG":"C"}}`: "",
		`{"path":"plugin"}`:                               fault.Invalid,
		`{"path":"` + filepath.Dir(program) + `/../x"}`:   fault.Invalid,
		`{"path":"` + program + `-gone"}`:                 fault.Unavailable,
		`{"path":"` + program + `","env":{"A=B":"c"}}`:    fault.Invalid,
		`{"path":"` + program + `","env":{"A":"\u0000"}}`: fault.Invalid,
		`{"path":"` + program + `","args":["\u0000"]}`:    fault.Invalid,
		`{"path":"` + program + `","shell":true}`:         fault.Invalid,
		`{"path":"` + program + `","path":"/bin/sh"}`:     fault.Invalid,
	} {
		write(t, path, []byte(content), 0o644)
		c, err := kek.ReadExecConfig(path)
		if err == nil {
			_, err = kek.NewExec(c)
		}
		if fault.KindOf(err) != want {
			t.Errorf("%s: %v", content, err)
		}
	}
	write(t, path, []byte(`{"path":"`+program+`"}`), 0o664)
	if _, err := kek.ReadExecConfig(path); !fault.Is(err, fault.Denied) {
		t.Errorf("a file that a group can change: %v", err)
	}
}

func TestAConfigurationThatOthersCanReplaceIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	path, link := filepath.Join(dir, "exec.json"), filepath.Join(t.TempDir(), "link")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, []byte(`{"path":"/usr/local/libexec/seal-plugin"}`), 0o600)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]fault.Kind{0o755: "", 0o775: fault.Denied, 0o777: fault.Denied, 0o777 | os.ModeSticky: ""} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, link} {
			if _, err := kek.ReadExecConfig(p); fault.KindOf(err) != want {
				t.Errorf("in a directory of mode %v: %v", mode, err)
			}
			if _, err := kek.ReadTransitConfig(p); want == fault.Denied && fault.KindOf(err) != want {
				t.Errorf("a key service's, in a directory of mode %v: %v", mode, err)
			}
		}
	}
}
