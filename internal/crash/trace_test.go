package crash_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/leaktest"
)

// panicked is what Go 1.26 writes of a panic whose value is text, with
// GOTRACEBACK=crash.
func panicked(text string) string {
	return "panic: " + strings.ReplaceAll(text, "\n", "\n\t") + ` [recovered, repanicked]

goroutine 7 gp=0xc000002380 m=0 mp=0x1234 [running]:
panic({0x4d1c60?, 0xc00001c0f0?})
	/usr/lib/go/src/runtime/panic.go:859 +0x13a fp=0xc1 sp=0xc2 pc=0x43
sallyport.dev/internal/app.(*pump).run.(*Group).Go.func5(...)
	sallyport.dev/internal/crash/crash.go:135
main.(*T[...]).m({0x6b393351767832, 0x3}, {0x63, 0x6e, 0x72, 0x79, ...})
	/tmp/x.go:9 +0x1d
created by sync.(*WaitGroup).Go in goroutine 1
	/usr/lib/go/src/sync/waitgroup.go:238 +0x73

goroutine 1 [select, 2 minutes]:
main.main()
	/tmp/x.go:20 +0x5
rax    0x6b393351767832
exit status 2
`
}

func TestATraceIsNamesAndLines(t *testing.T) {
	got := crash.ReadTrace(strings.NewReader(panicked("something")))
	want := `goroutine [running]
panic panic.go:859
sallyport.dev/internal/app.(*pump).run.(*Group).Go.func5 crash.go:135
main.(*T[...]).m x.go:9
created by sync.(*WaitGroup).Go waitgroup.go:238
goroutine [select]
main.main x.go:20
`
	if got.Stack != want || got.What != "a panic in a goroutine that the program did not begin" || got.Hidden != 2 {
		t.Errorf("%s%q, %d", got.Stack, got.What, got.Hidden)
	}
}

// Whatever a panic's text looks like: like a stack, like another end, long.
func TestNothingOfAPanicsTextIsInItsTrace(t *testing.T) {
	v := canary.Value
	for _, text := range []string{
		v, "x\n" + v, "x\n\ngoroutine 1 [running]:\n" + v + "(0x1)\n\t/" + v + ".go:12 +0x1d\n", "goroutine 1 [" + v + "]:",
		"fatal error: " + v, "a\nfatal error: " + v, "[signal SIGSEGV: " + v + "]", strings.Repeat(v+" ", 10_000), v + "(...)\n\t" + v + ".go:1",
	} {
		got := crash.ReadTrace(strings.NewReader(panicked(text)))
		if way := leaktest.Leaks(fmt.Sprintf("%+v", got), v); way != "" {
			t.Errorf("%.100q is shown, %s: %+v", text, way, got)
		}
		if !strings.Contains(got.Stack, "main.main x.go:20") {
			t.Errorf("%.100q hides the stack: %+v", text, got)
		}
	}
	for _, line := range []string{"fatal error: " + v, v, "SIGABRT: abort\nPC=0x1 m=0 sigcode=0\n" + v, "SIGUSR1: " + v} {
		if got := crash.ReadTrace(strings.NewReader(line + "\n")); leaktest.Leaks(fmt.Sprintf("%+v", got), v) != "" {
			t.Errorf("%q is shown: %+v", line, got)
		}
	}
}

func TestAFatalErrorHasTheRuntimesWords(t *testing.T) {
	for text, want := range map[string]string{
		"fatal error: concurrent map writes\n\ngoroutine 1 [running]:\n": "fatal error: concurrent map writes",
		"fatal error: something new\n":                                   "a fatal error of the runtime",
		"SIGQUIT: quit\nPC=0x46 m=0 sigcode=0\n":                         "the signal SIGQUIT",
		"a word of a library's\n":                                        "",
		"":                                                               "",
	} {
		if got := crash.ReadTrace(strings.NewReader(text)); got.What != want {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

var shape = regexp.MustCompile(`^(goroutine \[[a-zA-Z ()]+\]|[A-Za-z0-9_./%~()*\[\] -]+ [^ /]*\.(go|s):\d+)$`)

func FuzzATrace(f *testing.F) {
	f.Add(panicked("x"))
	f.Add("fatal error: stack overflow\n\nruntime stack:\nruntime.throw({0x1, 0x2})\n\t/x.go:1 +0x1\n")
	f.Add(strings.Repeat("goroutine 1 [running]:\na()\n\t/a.go:1\n", 3000))
	f.Fuzz(func(t *testing.T, text string) {
		got := crash.ReadTrace(strings.NewReader(text))
		lines := strings.Split(strings.TrimSuffix(got.Stack, "\n"), "\n")
		if len(lines) > 2000 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, l := range lines {
			if l != "" && !shape.MatchString(l) {
				t.Fatalf("%q is shown", l)
			}
		}
	})
}
