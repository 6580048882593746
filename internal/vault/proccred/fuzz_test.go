package proccred_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/proccred"
)

func FuzzFrames(f *testing.F) {
	for _, s := range []string{"", "\n", "a\nb\n", "a\r\n\r\n b \n", "no end", strings.Repeat("x", 70_000) + "\n", "\x00\xff\n{}\n", strings.Repeat("y", 200_000)} {
		f.Add([]byte(s), 100_000)
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit = max(limit%(1<<18), 1)
		lines, err := proccred.Frames(b, limit)
		var want []string
		long := false
		rest := string(b)
		for {
			line, after, ended := strings.Cut(rest, "\n")
			if len(line) > limit {
				long = true
				break
			}
			if !ended {
				break
			}
			want = append(want, line)
			rest = after
		}
		if strings.Join(lines, "\n") != strings.Join(want, "\n") {
			t.Errorf("read %q, want %q", lines, want)
		}
		if long != fault.Is(err, fault.Limit) && !(long && errors.Is(err, io.EOF)) || err == nil {
			t.Errorf("ended with %v, long %t", err, long)
		}
	})
}
