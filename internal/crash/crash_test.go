package crash_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/leaktest"
)

var canary = leaktest.Mint("panic", "raw", "token")

// held is what a credential in use looks like.
type held struct {
	Header http.Header
	token  []byte
	inner  *held
}

func (h held) Error() string { return "with " + string(h.token) }

// panics are ways in which a value gets into a panic.
var panics = map[string]func(){
	"a string":           func() { panic("sent " + canary.Value) },
	"an error":           func() { panic(errors.New("sent " + canary.Value)) },
	"a wrapped error":    func() { panic(fmt.Errorf("x: %w", errors.New(canary.Value))) },
	"bytes":              func() { panic([]byte(canary.Value)) },
	"a struct":           func() { panic(value()) },
	"a pointer":          func() { h := value(); panic(&h) },
	"a map":              func() { panic(map[string]string{canary.Value: canary.Value}) },
	"one that says how":  func() { panic(fmt.Stringer(says(canary.Value))) },
	"its own runtime":    func() { panic(pretends(canary.Value)) },
	"a frame's argument": func() { argument(canary.Value, [24]byte([]byte(canary.Value)), nil) },
	"a key of a map":     func() { m := map[any]int{}; m[[]any{canary.Value}] = 1 },
	"a failed assertion": func() { var v any = canary.Value; _ = v.(fmt.Stringer) },
	"a nested panic":     func() { defer func() { panic("and " + canary.Value) }(); panic(canary.Value) },
}

func value() held {
	return held{http.Header{"Authorization": {"Bearer " + canary.Value}}, []byte(canary.Value), &held{token: []byte(canary.Value)}}
}

type says string

func (s says) String() string { return string(s) }

type pretends string

func (p pretends) Error() string { return string(p) }
func (pretends) RuntimeError()   {}

//go:noinline
func argument(text string, array [24]byte, m map[string][24]byte) { m[text] = array }

// everything is all that a Panic shows, in every way of showing it.
func everything(p *crash.Panic) string {
	var log strings.Builder
	p.Log(context.Background(), slog.New(slog.NewJSONHandler(&log, nil)))
	p.Log(context.Background(), slog.New(slog.NewTextHandler(&log, nil)))
	return fmt.Sprintf("%v %+v %#v %s %s", p, p, *p, p.Error(), log.String())
}

func TestNothingOfAPanicsValueIsShown(t *testing.T) {
	for name, f := range panics {
		var got *crash.Panic
		crash.Guard(f, func(p *crash.Panic) { got = p })
		if got == nil {
			t.Fatalf("%s: it did not panic", name)
		}
		x := leaktest.NewIndex(canary)
		if hits := x.Search([]byte(everything(got))); len(hits) > 0 {
			t.Errorf("%s shows %v", name, hits)
		}
		if got.ID == "" || !strings.Contains(got.Stack, "crash_test") || strings.Contains(got.Stack, "crash.Guard\x00") {
			t.Errorf("%s: %+v", name, got)
		}
		if !strings.Contains(everything(got), got.ID) {
			t.Errorf("%s: the record has no id", name)
		}
		if hits := x.Search([]byte(everything(got) + canary.Value)); len(hits) == 0 {
			t.Errorf("%s: the search does not find what is planted", name)
		}
	}
}

func TestTheStackBeginsWhereItPanicked(t *testing.T) {
	var got *crash.Panic
	crash.Guard(func() { argument("x", [24]byte{}, nil) }, func(p *crash.Panic) { got = p })
	lines := strings.Split(got.Stack, "\n")
	if !strings.HasPrefix(lines[0], "runtime.") || !strings.HasPrefix(lines[1], "sallyport.dev/internal/crash_test.argument crash_test.go:") {
		t.Errorf("%s", got.Stack)
	}
	if got.What != "assignment to entry in nil map" {
		t.Errorf("it says %q", got.What)
	}
}

func TestWhatDidNotPanicIsLeftAlone(t *testing.T) {
	if p := crash.Of(recover()); p != nil {
		t.Error(p)
	}
	want := errors.New("an error")
	if err := crash.Try(t.Context(), slog.New(slog.DiscardHandler), func() error { return want }); err != want { //nolint:errorlint // it is the very one
		t.Error(err)
	}
}

func TestAPanicIsTheErrorOfWhatWasTried(t *testing.T) {
	var log strings.Builder
	err := crash.Try(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func() error { panic(canary.Value) })
	p, ok := errors.AsType[*crash.Panic](err)
	if !ok || !strings.Contains(log.String(), p.ID) || !strings.Contains(err.Error(), p.ID) {
		t.Errorf("%v, %s", err, log.String())
	}
}

// The goroutine that waits has it, as it was where it happened.
func TestAPanicInAGroupIsTheWaitersPanic(t *testing.T) {
	var g crash.Group
	for i := range 10 {
		g.Go(func() {
			if i%2 == 1 {
				panics["a frame's argument"]()
			}
		})
	}
	var got *crash.Panic
	crash.Guard(g.Wait, func(p *crash.Panic) { got = p })
	if got == nil || !strings.Contains(got.Stack, "crash_test.argument") {
		t.Fatalf("%+v", got)
	}
}

func TestAGoroutineThatPanicsEndsByItself(t *testing.T) {
	got := make(chan *crash.Panic)
	crash.Go(panics["a string"], func(p *crash.Panic) { got <- p })
	if p := <-got; p.What != "a panic with a value of the type string" {
		t.Errorf("%+v", p)
	}
}
