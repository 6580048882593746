// Package backendtest is the contract that every backend passes: against a faithful
// fake in every run of the tests, and against the real server where one is named.
package backendtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// Fault is what a fake can be told to do to its next answers.
type Fault string

// The faults.
const (
	Fine      Fault = ""
	Refusing  Fault = "refuses"              // the credential has ended, or the policy says no
	Busy      Fault = "asks for later"       // throttled
	Broken    Fault = "is broken"            // of its own, 5xx
	Sealed    Fault = "is sealed"            // or in maintenance
	Garbage   Fault = "answers garbage"      // 200, and no JSON
	Twice     Fault = "answers in two ways"  // a member twice
	Endless   Fault = "never ends"           // longer than any answer
	Cut       Fault = "is cut off"           // in the middle of the answer
	Stranger  Fault = "answers for another"  // a good answer to another question
	Older     Fault = "answers an older one" // of another version than was asked for
	Elsewhere Fault = "points elsewhere"     // a redirect to where the credential must not go
	Silent    Fault = "says nothing"         // until the caller gives up
)

// World is a backend and the administrator's hand on what it keeps.
type World struct {
	Backend backend.Backend
	// Put keeps fields at a path, as a new version where there are versions; its
	// identity is empty where there are none. One with the name [backend.Whole] is
	// all of it.
	Put func(t *testing.T, path string, fields map[string]string) (version string)
	// Remove takes away what is at a path.
	Remove func(t *testing.T, path string)
	// Path makes a path of a short word.
	Path func(word string) string
	// Pins says that an earlier version can be asked for.
	Pins bool
	// Fault makes a fake misbehave; nil: it is no fake.
	Fault func(Fault)
	// Knows are the faults that can happen to it.
	Knows []Fault
	// End is what Stop-the-world faults leave behind, like a credential that ended:
	// the next question has to be answered after it. Nil: nothing ends.
	End func()
}

// canary is what must be in no error.
const canary = "cnry-of-the-contract-81kq"

// reasons are what each fault is to the vault.
var reasons = map[Fault][]backend.Reason{
	Refusing: {backend.Refused}, Busy: {backend.Throttled}, Broken: {backend.Away}, Sealed: {backend.Away},
	Garbage: {backend.Wrong}, Twice: {backend.Wrong}, Endless: {backend.Away, backend.Wrong}, Cut: {backend.Away, backend.Wrong},
	Stranger: {backend.Wrong}, Older: {backend.Wrong}, Elsewhere: {backend.Away, backend.Wrong}, Silent: {backend.Away},
}

// Run runs the contract, each part in a world of its own.
func Run(t *testing.T, make func(t *testing.T) World) {
	t.Helper()
	for name, part := range map[string]func(*testing.T, World){
		"gives what is there": gives, "names versions": versions, "says what is missing": missing, "creates where nothing is": creates,
		"sorts faults": faults, "signs in again": again, "refuses paths": paths, "tells of changes": watches, "can be tried without a value": enters,
	} {
		t.Run(name, func(t *testing.T) { part(t, make(t)) })
	}
}

// fetch asks, and gives the fields as text.
func fetch(t *testing.T, w World, a backend.Ask) (map[string]string, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := w.Backend.Fetch(ctx, a)
	if err != nil {
		if e, ok := errors.AsType[*backend.Error](err); !ok || e.Reason == "" {
			t.Errorf("an error without a reason: %v", err)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("an error with the value: %v", err)
		}
		return nil, "", err
	}
	defer got.Wipe()
	if err := backend.CheckVersion(got.Version); err != nil || strings.Contains(got.Version, canary) {
		t.Errorf("a version is called %q", got.Version)
	}
	out := map[string]string{}
	for k, v := range got.Fields {
		out[k] = string(plain.Bytes(v))
	}
	return out, got.Version, nil
}

// kept are fields in the form that the backend keeps.
func kept(w World, value string) map[string]string {
	if w.Backend.Named() {
		return map[string]string{"password": value, "user": "svc-crm"}
	}
	return map[string]string{backend.Whole: value}
}

func gives(t *testing.T, w World) {
	for _, value := range []string{canary, canary + " with spaces and \"quotes\" \\ / ü 😀", "line one\n" + canary, strings.Repeat(canary, 500)} {
		path := w.Path("gives")
		want := kept(w, value)
		version := w.Put(t, path, want)
		got, named, err := fetch(t, w, backend.Ask{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("the field %q is %q, want %q", k, got[k], v)
			}
		}
		if w.Backend.Named() && !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("there are the fields %v", slices.Sorted(maps.Keys(got)))
		}
		if version != "" && named != version {
			t.Errorf("it calls the version %q, and made %q", named, version)
		}
	}
	if !w.Backend.Named() {
		path := w.Path("object")
		w.Put(t, path, map[string]string{backend.Whole: `{"username":"svc","password":"` + canary + `","port":5432}`})
		got, _, err := fetch(t, w, backend.Ask{Path: path})
		if err != nil || got["password"] != canary || got["username"] != "svc" || got["port"] != "" {
			t.Errorf("of an object: %v, %v", got, err)
		}
	}
}

func versions(t *testing.T, w World) {
	path := w.Path("versions")
	one := w.Put(t, path, kept(w, canary+"-one"))
	two := w.Put(t, path, kept(w, canary+"-two"))
	if got, named, err := fetch(t, w, backend.Ask{Path: path}); err != nil || !has(got, canary+"-two") || two != "" && named != two {
		t.Errorf("the newest is %v as %q, %v", got, named, err)
	}
	if !w.Pins {
		return
	}
	if one == two {
		t.Fatal("two versions have one name")
	}
	if got, named, err := fetch(t, w, backend.Ask{Path: path, Version: one}); err != nil || !has(got, canary+"-one") || named != one {
		t.Errorf("the first is %v as %q, %v", got, named, err)
	}
}

func has(fields map[string]string, value string) bool {
	return slices.Contains(slices.Collect(maps.Values(fields)), value)
}

func missing(t *testing.T, w World) {
	path := w.Path("missing")
	w.Put(t, w.Path("missing-not"), kept(w, canary)) // where there are folders, there is one
	if _, _, err := fetch(t, w, backend.Ask{Path: path}); backend.ReasonOf(err) != backend.Missing || err == nil {
		t.Errorf("nothing was ever there: %v", err)
	}
	w.Put(t, path, kept(w, canary))
	if _, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil {
		t.Fatal(err)
	}
	w.Remove(t, path)
	if _, _, err := fetch(t, w, backend.Ask{Path: path}); backend.ReasonOf(err) != backend.Missing || err == nil {
		t.Errorf("it was removed: %v", err)
	}
}

func creates(t *testing.T, w World) {
	to, ok := w.Backend.(backend.Writer)
	if !ok {
		t.Skip("it takes no value")
	}
	path := w.Path("creates")
	fields := map[string]plain.Value{}
	for k, v := range kept(w, canary+" \"quoted\"\n") {
		fields[k] = plain.New([]byte(v))
	}
	if err := to.Create(t.Context(), path, fields); err != nil {
		t.Fatal(err)
	}
	if got, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil || !has(got, canary+" \"quoted\"\n") {
		t.Errorf("after it was created: %v, %v", got, err)
	}
	for k := range fields {
		fields[k] = plain.New([]byte("another"))
	}
	if err := to.Create(t.Context(), path, fields); backend.ReasonOf(err) != backend.Taken {
		t.Errorf("created twice: %v", err)
	}
	if got, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil || !has(got, canary+" \"quoted\"\n") {
		t.Errorf("it was written over: %v, %v", got, err)
	}
}

func faults(t *testing.T, w World) {
	if w.Fault == nil {
		t.Skip("a real server can't be told to fail")
	}
	path := w.Path("faults")
	one := w.Put(t, path, kept(w, canary))
	w.Put(t, path, kept(w, canary+"-two"))
	for _, f := range w.Knows {
		a := backend.Ask{Path: path}
		if f == Older {
			a.Version = one
		}
		w.Fault(f)
		ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 200 * time.Millisecond, false: 20 * time.Second}[f == Silent])
		got, err := w.Backend.Fetch(ctx, a)
		cancel()
		got.Wipe()
		if err == nil || !slices.Contains(reasons[f], backend.ReasonOf(err)) || strings.Contains(err.Error(), canary) {
			t.Errorf("it %s: %v (%s), want one of %v", f, err, backend.ReasonOf(err), reasons[f])
		}
		w.Fault(Fine)
		if _, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil {
			t.Errorf("after it %s: %v", f, err)
		}
	}
}

func again(t *testing.T, w World) {
	if w.End == nil {
		t.Skip("nothing ends")
	}
	path := w.Path("again")
	w.Put(t, path, kept(w, canary))
	for range 3 {
		if _, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil {
			t.Fatal(err)
		}
		w.End()
	}
}

func paths(t *testing.T, w World) {
	for _, version := range []string{"../1", "1 or 2", "1?x=y", strings.Repeat("9", 200)} {
		if backend.CheckVersion(version) == nil && w.Backend.Check(backend.Ask{Path: w.Path("x"), Version: version}) == nil {
			t.Errorf("the version %q was taken", version)
		}
	}
	for _, path := range []string{"", "..", "a/../b", "a//b", "a/./b", "a?b", "a#b", "a%2fb", "a\\b", "a b", "a\nb", strings.Repeat("a", 1000)} {
		if backend.CheckPath(path) == nil && w.Backend.Check(backend.Ask{Path: path}) == nil {
			t.Errorf("the path %q was taken", path)
		}
	}
	if err := w.Backend.Check(backend.Ask{Path: w.Path("word")}); err != nil || backend.CheckPath(w.Path("word")) != nil {
		t.Errorf("a plain path: %v", err)
	}
}

// enters wants it to sign in, and to say what it has looked at.
func enters(t *testing.T, w World) {
	to, ok := w.Backend.(backend.Enterer)
	if !ok {
		t.Fatal("it can't be tried without a value")
	}
	if err := to.Ready(); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
	did, err := to.Enter(t.Context())
	if err != nil || did == "" {
		t.Errorf("%q, %v", did, err)
	}
}
