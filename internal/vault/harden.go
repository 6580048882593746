package vault

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// Harden keeps the process's memory from being written to a core file and, on
// Linux, from being read by other processes of the same user. It is called
// first thing in the program, before there is anything to protect.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: mostCore, Max: mostCore}); err != nil {
		return fault.Wrap(fault.Unavailable, "turning core files off", err)
	}
	if err := undumpable(); err != nil {
		return fault.Wrap(fault.Unavailable, "making the process undumpable", err)
	}
	return nil
}

// warnExposed logs, once for each unsealing, that the system refused the root
// key's page a protection. It is no reason to refuse to work: where there is no
// swap and no core file, nothing is lost.
func (v *Vault) warnExposed() {
	page := v.root.Load()
	if page == nil {
		return
	}
	if err := plain.Exposed(page); err != nil {
		v.cfg.Log.Warn("the root key's memory is not fully protected; raise the limit on locked memory (ulimit -l, LimitMEMLOCK) or turn swap off",
			slog.String("why", err.Error()))
	}
}
