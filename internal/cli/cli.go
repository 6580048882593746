// Package cli is the command line: one file for each command, all of the form
// "sallyport NOUN VERB". Commands that act on a server are clients of its JSON
// API; serve and demo are the server.
//
// Results go to stdout, talk goes to stderr, and --json makes every result JSON,
// one object a line where it is a stream. An error is a line "error:" and, where
// there is one, a line "hint:"; with --json an object with both. The exit code says what kind of error it is; see
// exit.go.
//
// It refuses a secret value as an argument, since the shell's history and the
// process list would have it; to read one back; and to approve anything with what
// is stored: a Decision takes the password and a one-time code, typed for it.
//
// # Security
//
// A session's token is kept in a file of mode 0600, and is sent to the server
// that gave it only. Texts of systems, models and other people are shown with
// every invisible character spelled out, so that they can neither drive the
// terminal nor look like something else.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/vault"
)

// program is one invocation.
type program struct {
	in       *os.File
	out, err io.Writer
	// Whether each is a person's terminal that takes colours.
	outColour, errColour bool
	getenv               func(string) string
	self                 string // how this program was called
	json                 bool   // --json
	server               string // --server
}

// Main runs the command line and gives its exit code. SIGINT and SIGTERM end what
// runs in order; a second one ends the process at once.
func Main(args []string, in, out, errw *os.File) int {
	p := &program{in: in, out: out, err: errw, getenv: os.Getenv, self: os.Args[0]}
	plain := p.getenv("NO_COLOR") != "" || p.getenv("TERM") == "dumb"
	p.outColour = !plain && term.IsTerminal(int(out.Fd()))
	p.errColour = !plain && term.IsTerminal(int(errw.Fd()))
	if err := vault.Harden(); err != nil {
		return p.fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on a signal has its usual effect
	code := exitFailed
	crash.Guard(func() {
		root := p.root()
		root.SetArgs(args)
		cmd, err := root.ExecuteContextC(ctx)
		code = p.fail(p.advised(cmd, err))
	}, func(c *crash.Panic) {
		fmt.Fprintf(p.err, "%s the program has a fault: %s\n%s", paint(p.errColour, red, "error:"), c.What, c.Stack)
	})
	return code
}

// root makes the tree of commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Let AI Workers act with credentials that they can use but never see",
		Long: `Sallyport lets AI Workers act on real systems with credentials that they can
use but never see.

Results go to stdout, talk to stderr. Exit codes: 0 ok, 1 failed, 2 usage,
3 denied, 4 sign-in needed, 5 not found, 8 waiting for a Decision,
9 and 20 to 43 the audit log failed verification (docs/audit.md), 130 interrupted.`,
		Example: `  sallyport demo                  the example company, on this machine
  sallyport serve --data ./data   a server of your own
  sallyport login --server http://127.0.0.1:7411`,
		Version:       app.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          nounOnly,
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err.Error(), "see: " + cmd.CommandPath() + " --help"}
	})
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print results as JSON, one object a line where it is a stream")
	root.PersistentFlags().StringVar(&p.server, "server", "", "the server's URL (default $SALLYPORT_SERVER, or where you signed in last)")
	root.AddCommand(
		p.serveCmd(), p.crashReportCmd(), p.childCmd(), p.demoCmd(), p.demoSystemCmd(),
		p.loginCmd(), p.logoutCmd(), p.whoamiCmd(), p.accountCmd(),
		p.applyCmd(), p.policyCmd(), p.schemaCmd(), p.secretCmd(), p.sealCmd(), p.keyCmd(),
		p.missionCmd(), p.runCmd(), p.explainCmd(), p.intentCmd(), p.decisionCmd(), p.channelCmd(), p.workerCmd(), p.unknownCmd(), p.incidentCmd(), p.stopCmd(), p.holdCmd(), p.integrationCmd(), p.connectionCmd(), p.resumeCmd(), p.doctorCmd(),
		p.auditCmd(), p.backupCmd(), p.restoreCmd(), p.healthCmd(), p.mcpCmd(),
	)
	return root
}

// noun makes a command that only has verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: nounOnly}
	c.AddCommand(verbs...)
	return c
}

// nounOnly is what a command says that was called without one of its verbs. What
// was given instead is repeated only where it looks like a verb: people put
// values there by mistake.
func nounOnly(cmd *cobra.Command, args []string) error {
	hint := "see: " + cmd.CommandPath() + " --help"
	if len(args) == 0 {
		return &usageError{cmd.CommandPath() + " needs a command", hint}
	}
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + strings.Join(s, ", or "+cmd.CommandPath()+" ")
	}
	return &usageError{cmd.CommandPath() + " has no such command", hint}
}

// verb makes a command; use is its name and arguments, like "show RUN".
func verb(use, short, example string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args, RunE: run, DisableFlagsInUseLine: true}
}

// workers marks a command that a Worker outside calls, with its Run's token.
const workers = "workers"

// forWorkers marks c.
func forWorkers(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{workers: ""}
	return c
}

// takes checks the number of arguments and that none is empty, without repeating
// any.
func takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "usage: " + cmd.UseLine()
		switch {
		case len(args) > n:
			return &usageError{"there are too many arguments", hint}
		case len(args) < n:
			return &usageError{"an argument is missing", hint}
		}
		for _, a := range args {
			if a == "" {
				return &usageError{"an argument is empty", hint}
			}
		}
		return nil
	}
}
