package plain_test

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/vault/internal/plain"
)

// A container may permit no locked memory. That is not silent.
func TestAPageThatCantBeLockedSaysSo(t *testing.T) {
	page := func() *plain.Page {
		p, err := plain.NewPage(plain.New([]byte(canary)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := plain.Exposed(page()); err != nil {
		t.Errorf("with what this machine permits: %v", err)
	}
	// The limit and the capability are put back for the tests after this one:
	// the limit is the process's, and the capability this thread's, which ends.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
			t.Error(err)
		}
	}()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header, none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capset(&header, &none[0]); err != nil { // root may lock beyond its limit
			done <- err
			return
		}
		p, err := plain.NewPage(plain.New([]byte(canary)))
		if err == nil && !plain.Use(p, func(k []byte) {
			if string(k) != canary {
				err = errors.New("it holds another key")
			}
		}) {
			err = errors.New("it holds no key")
		}
		if err == nil && !errors.Is(plain.Exposed(p), unix.ENOMEM) && !errors.Is(plain.Exposed(p), unix.EPERM) {
			err = errors.New("it does not say that it is not locked")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
