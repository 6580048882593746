package vault

import (
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// MayRun refuses, with kind Denied, a child process that the operator of this machine
// has not allowed. Who applies resources is no operator: a command in a resource would
// otherwise let a stolen session run whatever it likes beside the key files.
func (v *Vault) MayRun(s *resource.Stdio) error {
	switch {
	case len(s.Command) == 0 || !slices.Contains(v.cfg.Programs, s.Command[0]):
		return fault.New(fault.Denied, "the server was not started with leave to run this program").
			WithHint("who runs the server allows it: sallyport serve --program %s", fault.Quote(firstOf(s.Command)))
	case !s.Sandboxed() && !v.cfg.Unconfined:
		return fault.New(fault.Denied, "the server was not started with leave to run a program unconfined").
			WithHint("leave sandbox: best-effort out, or start it with: sallyport serve --unconfined-programs")
	}
	return nil
}

func firstOf(command []string) string {
	if len(command) == 0 {
		return "PATH"
	}
	return command[0]
}
