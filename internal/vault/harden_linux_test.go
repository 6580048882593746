package vault_test

import (
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
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		t.Errorf("core files: %+v, %v", core, err)
	}
}
