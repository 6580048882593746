package vault_test

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/vault"
)

func TestAHardenedProcessIsNeitherDumpedNorTraced(t *testing.T) {
	if err := vault.Harden(); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		t.Errorf("dumpable: %d, %v", n, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur != 1 || core.Max != 1 {
		t.Errorf("core files: %+v, %v", core, err)
	}
}

// Where no memory may be locked, which containers do, the vault opens and says
// so once for each unsealing.
func TestARootKeyThatCantBeLockedIsWarnedOf(t *testing.T) {
	f := start(t)
	if strings.Contains(f.log.String(), "not fully protected") {
		t.Error("a warning although all of it was permitted")
	}
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
	f.Vault = f.sealed()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header, nothing := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capset(&header, &nothing[0]); err != nil { // root may lock beyond its limit
			done <- err
			return
		}
		done <- f.Unseal(t.Context(), f.store, f.seal)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(f.log.String(), "not fully protected"); n != 1 {
		t.Errorf("the log has %d warnings:\n%s", n, f.log)
	}
	f.set(acme, "erp", canary1) // and it works
	if err := f.opens(acme, "erp"); err != nil {
		t.Error(err)
	}
}
