package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
)

// The exit codes. They don't change: scripts branch on them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDenied   = 3
	exitSignIn   = 4
	exitNotFound = 5
	exitWaiting  = 8
	exitAudit    = 9   // of a log by itself each finding has a code of its own, see findingCode
	exitSignal   = 130 // as shells say it of SIGINT
)

// usageError says that the command line is wrong.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string { return e.msg }

// waitingError says that the Intent waits, and for what.
type waitingError struct{ msg, hint string }

func (e *waitingError) Error() string { return e.msg }

// auditError says that verification found something.
type auditError struct {
	findings int
	code     int // the first finding's own; 0 where the log is not all that was verified
}

func (e *auditError) Error() string {
	return fmt.Sprintf("the audit log failed verification: %d findings", e.findings)
}

// rowsError says that rows of a backup are refused.
type rowsError struct{ rows int }

func (e *rowsError) Error() string {
	return fmt.Sprintf("%d rows of the backup are not those that were written last", e.rows)
}

// fail shows an error, every part of it, and gives the exit code.
func (p *program) fail(err error) int {
	if err == nil {
		return exitOK
	}
	for _, e := range parts(err) {
		msg, hint := explained(e)
		if p.json {
			p.jsonError(msg, hint, kindOf(e))
			continue
		}
		for line := range strings.SplitSeq(msg, "\n") {
			fmt.Fprintf(p.err, "%s %s\n", paint(p.errColour, red, "error:"), visible(line))
		}
		if hint != "" {
			fmt.Fprintf(p.err, "%s %s\n", paint(p.errColour, yellow, "hint:"), visible(hint))
		}
	}
	return codeOf(err)
}

// jsonError writes one error as JSON, on one line of stderr.
func (p *program) jsonError(msg, hint string, kind fault.Kind) {
	b, err := json.Marshal(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
		Kind  string `json:"kind,omitempty"`
	}{msg, hint, string(kind)})
	if err == nil {
		fmt.Fprintln(p.err, escaped(plain(string(b))))
	}
}

// kindOf is an error's kind, the server's own of what the server said; "usage" of
// a command line that is wrong.
func kindOf(err error) fault.Kind {
	if _, ok := errors.AsType[*usageError](err); ok {
		return "usage"
	}
	if _, ok := errors.AsType[*waitingError](err); ok {
		return fault.Pending
	}
	if e, ok := errors.AsType[*client.Problem](err); ok {
		return fault.Kind(e.Kind)
	}
	return fault.KindOf(err)
}

// parts lists what a joined error is made of.
func parts(err error) []error {
	all, ok := err.(interface{ Unwrap() []error }) // a join is shown part by part
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range all.Unwrap() {
		out = append(out, parts(e)...)
	}
	return out
}

// explained is what is said of one error.
func explained(err error) (msg, hint string) {
	if e, ok := errors.AsType[*usageError](err); ok {
		return e.msg, e.hint
	}
	if e, ok := errors.AsType[*client.Problem](err); ok {
		return e.Detail, e.Hint
	}
	if e, ok := errors.AsType[*waitingError](err); ok {
		return e.msg, e.hint
	}
	if e, ok := errors.AsType[*rowsError](err); ok {
		return e.Error(), "somebody without the vault's keys changed them before the backup was made: restore an earlier one, or this one with --refused-rows, where they stay refused"
	}
	if errors.Is(err, context.Canceled) {
		return "interrupted", ""
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return err.Error(), "is it running? start it with: sallyport serve --data DIR"
	}
	return err.Error(), fault.HintOf(err)
}

// advised gives a refusal the hint that the server can't know: that the token came
// from the environment, where it goes before the stored session.
func (p *program) advised(cmd *cobra.Command, err error) error {
	refused, ok := errors.AsType[*client.Problem](err)
	if _, worker := cmd.Annotations[workers]; worker || !ok || refused.Kind != string(fault.Denied) {
		return err
	}
	if strings.HasPrefix(p.getenv("SALLYPORT_TOKEN"), identity.RunPrefix) {
		refused.Hint = "SALLYPORT_TOKEN is a Run's token, and this command is for people: unset it"
	}
	return err
}

// codeOf maps an error to the exit code, here and nowhere else.
func codeOf(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*auditError](err); ok {
		return cmp.Or(e.code, exitAudit)
	}
	if _, ok := errors.AsType[*rowsError](err); ok {
		return exitAudit
	}
	if _, ok := errors.AsType[*waitingError](err); ok {
		return exitWaiting
	}
	if errors.Is(err, context.Canceled) {
		return exitSignal
	}
	switch kindOf(err) {
	case fault.Denied:
		return exitDenied
	case fault.Unauthenticated:
		return exitSignIn
	case fault.NotFound:
		return exitNotFound
	case fault.Pending:
		return exitWaiting
	case fault.Internal, fault.Invalid, fault.Conflict, fault.Limit, fault.Unavailable, fault.Unknown:
	}
	return exitFailed
}
