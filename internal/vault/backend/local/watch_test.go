package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/local"
)

// Kubernetes mounts a Secret as links into a directory of its own, and replaces the
// link to that directory at each change.
func TestAMountedSecretThatIsSwappedIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		swap := func(to, value string) {
			must(os.Mkdir(in(to), 0o700))
			must(os.WriteFile(in(to, "token"), []byte(value), 0o600))
			must(os.Symlink(to, in("..data_tmp")))
			must(os.Rename(in("..data_tmp"), in("..data")))
		}
		swap("..2026_1", "one-value")
		must(os.Symlink("..data/token", in("token")))
		b, err := local.NewFiles(local.Files{Directory: dir})
		must(err)
		var began, changed atomic.Int32
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			ended <- b.(backend.Watcher).Watch(ctx, "token", func(s backend.Sight) {
				map[backend.Sight]*atomic.Int32{backend.Began: &began, backend.Changed: &changed}[s].Add(1)
			})
		}()
		passes := func() { <-time.After(5 * time.Second); synctest.Wait() }
		passes()
		if began.Load() != 1 || changed.Load() != 0 {
			t.Errorf("nothing has changed, and it told %d times", changed.Load())
		}
		swap("..2026_2", "two-value") // as long as the one before
		if passes(); changed.Load() != 1 {
			t.Errorf("it was swapped, and it told %d times", changed.Load())
		}
		must(os.Remove(in("..data")))
		if passes(); changed.Load() != 2 {
			t.Errorf("it is gone, and it told %d times", changed.Load())
		}
		must(os.WriteFile(in("another"), []byte("another-value"), 0o600))
		if passes(); changed.Load() != 2 {
			t.Errorf("another file has come, and it told %d times", changed.Load())
		}
		must(os.Rename(dir, dir+".away"))
		passes()
		if e, ok := errors.AsType[*backend.Error](<-ended); !ok || e.Reason != backend.Away {
			t.Errorf("the directory is away: %v", e)
		}
		must(os.Rename(dir+".away", dir))
		cancel()
	})
}
