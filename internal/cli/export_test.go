package cli

import (
	"context"
	"io"
	"os"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
)

// What the tests outside look into: functions of their inputs.
var (
	Visible = visible
	Escaped = escaped
	Plain   = plain
	Block   = block
	Route   = route
	CodeOf  = codeOf
	Expiry  = expiry
	Expires = expires
)

// RestoreCode is the exit code of what a restore, or a check, came to.
func RestoreCode(rep app.RestoreReport, verify bool) int {
	p := &program{out: io.Discard, err: io.Discard}
	return p.fail(p.verdict(rep, restoreFlags{verify: verify}))
}

// AuditCodes are the exit codes of findings.
func AuditCodes() map[audit.FindingKind]int {
	out := map[audit.FindingKind]int{}
	for _, k := range audit.FindingKinds {
		out[k] = findingCode([]audit.Finding{{Kind: k}})
	}
	return out
}

// Understands says whether a command line is one that there is; it runs nothing.
func Understands(args []string) error {
	p := &program{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
	c, rest, err := p.root().Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if c.HasSubCommands() && c.Name() != "mcp" { // which is a command itself, with one below it
		return nounOnly(c, c.Flags().Args())
	}
	return c.ValidateArgs(c.Flags().Args())
}

// Shield is what serve does with standard error.
func Shield(ctx context.Context, errw *os.File) error {
	return (&program{err: errw, out: io.Discard}).shield(ctx, "text")
}

// RailText prints a record of a rail at a width.
func RailText(w io.Writer, width int, colour bool, o explain.Observation) {
	(&railText{out: w, width: width, colour: colour}).record(o)
}
