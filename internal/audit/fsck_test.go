package audit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
)

// TestTesserasFsckAgrees runs somebody else's checker over HTTP; scripts/fsck.sh
// builds it, and names it here. It finds what is wrong with a tree, and knows
// nothing of what entries mean.
func TestTesserasFsckAgrees(t *testing.T) {
	fsck := os.Getenv("SALLYPORT_TEST_FSCK")
	if fsck == "" {
		t.Skip("make fsck runs it")
	}
	check := func(t *testing.T, h http.Handler, key string, more ...string) error {
		srv := httptest.NewServer(h)
		defer srv.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, fsck, append([]string{"-url", srv.URL + "/", "-key", key}, more...)...).CombinedOutput()
		t.Logf("%v %.200s", err, out)
		return err
	}
	m, seq := newMemory(), sequencer(t)
	for _, size := range []int64{2, 256, 700} {
		grown(t, seq, m, size)
		if err := check(t, audit.Handler(reader{m}, "acme"), m.logs["acme"].head.Verifier); err != nil {
			t.Errorf("%d good entries: %v", size, err)
		}
	}
	p := m.clone()
	seq = sequencer(t) // of the other one's state it knows nothing
	prune(t, seq, p, 512, 0)
	for minimum, good := range map[string]bool{"512": true, "256": false} {
		if err := check(t, audit.Handler(reader{p}, "acme"), p.logs["acme"].head.Verifier, "-minimum", minimum); (err == nil) != good {
			t.Errorf("pruned below 512, checked from %s on: %v", minimum, err)
		}
	}
	key := m.logs["acme"].head.Verifier
	for name, c := range spoils {
		if name == "a giant size" {
			continue // it would ask for a thousand million tiles
		}
		t.Run(name, func(t *testing.T) {
			f := saved(t, m)
			c.spoil(f)
			if check(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, ok := f[strings.TrimPrefix(r.URL.Path, "/")]
				if !ok {
					http.NotFound(w, r)
					return
				}
				_, _ = w.Write(b) // to a test
			}), key) == nil {
				t.Error("it found nothing")
			}
		})
	}
}
