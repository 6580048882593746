package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/leaktest"
)

// What ends a process without asking it: by its name, in a program whose
// descriptor 2 is shielded as the server's is.
var ends = map[string]func(secret string){
	"a string": func(secret string) { begin(func() { panic("with " + secret) }) },
	"an error": func(secret string) { begin(func() { panic(fmt.Errorf("with %s", secret)) }) },
	"lines": func(secret string) {
		begin(func() { panic("with\n\ngoroutine 1 [running]:\n" + secret + "(0x1)\n\t/x.go:1 +0x1\n") })
	},
	"an argument": func(secret string) { begin(func() { inArray([16]byte([]byte(secret)[:16]), nil) }) },
	"a stack":     func(secret string) { begin(func() { deep([]byte(secret), 1) }) },
	"another word": func(secret string) {
		fmt.Fprintln(os.Stderr, "a library says", secret)
		begin(func() { panic(secret) })
	},
	"a map": func(secret string) {
		m := map[string]string{}
		for range 4 {
			go func() {
				for {
					m[secret] = secret
				}
			}()
		}
		select {}
	},
}

// begin runs f in a goroutine that nothing guards, as other people's packages do.
func begin(f func()) {
	go f()
	select {}
}

//go:noinline
func inArray(a [16]byte, m map[[16]byte]int) { m[a] = 1 }

//go:noinline
func deep(b []byte, n int) int {
	if n < 0 {
		return len(b)
	}
	return deep(append(b, byte(n)), n+1) + 1
}

// crashing is a program of the test binary, which ends as it is told.
func crashing() {
	if os.Args[1] == "crash-report" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Args[1] == "shielded" {
		if err := cli.Shield(context.Background(), os.Stderr); err != nil {
			os.Exit(7) // its test says so
		}
	}
	go func() { // however it ends, it does
		<-time.After(30 * time.Second)
		os.Exit(8)
	}()
	ends[os.Args[2]](os.Getenv("CRASHING_SECRET"))
}

func crashes(t *testing.T, how, end, level, secret string) (stderr []byte) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, how, end)
	cmd.Args[0] = "crashing"
	cmd.Env = append(os.Environ(), "CRASHING_SECRET="+secret, "GOTRACEBACK="+level)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() == 7 || exit.ExitCode() == 8 {
		t.Fatalf("%s: it ended with %v: %.500s", end, err, out.String())
	}
	return out.Bytes()
}

// Beyond recover there is the shield: what the runtime says of the end has no
// value in it, at any level of talkativeness, and says where it was.
func TestLeakWhatTheRuntimeSaysOfTheEndHasNoSecret(t *testing.T) {
	t.Parallel()
	secret := leaktest.Mint("stderr", "in a panic", "token")
	searched := 0
	for end := range ends {
		for _, level := range []string{"single", "all", "crash"} {
			if end == "a stack" && level != "single" {
				continue // the runtime cuts it anyway
			}
			out := crashes(t, "shielded", end, level, secret.Value)
			searched++
			if hits := leaktest.NewIndex(secret).Search(out); len(hits) > 0 {
				t.Errorf("%s, %s: %v", end, level, hits)
			}
			for _, want := range []string{"the server was ended by the runtime", "cli_test.", "crash_linux_test.go:"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%s, %s: %q is not in %.600s", end, level, want, out)
				}
			}
		}
	}
	// Without the shield it is there: the control.
	for _, end := range []string{"a string", "an error", "lines", "another word"} {
		if hits := leaktest.NewIndex(secret).Search(crashes(t, "open", end, "single", secret.Value)); len(hits) == 0 {
			t.Errorf("%s: the control shows nothing", end)
		}
	}
	t.Logf("leak suite, ends of a process: %d cases, 4 controls", searched)
}
