package kek

import (
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/program"
	"sallyport.dev/internal/vault/internal/safe"
)

// execTimeout is for one process: key services and their sign-ins take seconds.
var execTimeout = 30 * time.Second

// ask starts the program for one operation; see package program for what it gets.
func (e *Exec) ask(ctx context.Context, op string, aad box.AAD, payload []byte) (execAnswer, error) {
	path, err := e.program()
	if err != nil {
		return execAnswer{}, err
	}
	in := execRequest(op, aad, payload)
	defer clear(in)
	ended := program.Run(ctx, program.Command{Path: path, Args: e.cfg.Args, Env: e.env, Time: execTimeout, Out: maxExecAnswer, Said: maxStderr}, in)
	defer ended.Wipe()
	if ended.NoStart {
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program can't be started").
			WithHint("%s has to be executable by the server's user", fault.Quote(path))
	}
	return finished(op, ended)
}

// finished makes an answer or an error of what a process left.
func finished(op string, e program.Ended) (execAnswer, error) {
	switch {
	case e.Out.Over:
		return execAnswer{}, fault.Newf(fault.Invalid, "the answer of the seal's program is longer than %d bytes", maxExecAnswer)
	case e.Late:
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program took too long to "+op+", and was killed")
	case e.Left:
		return execAnswer{}, fault.New(fault.Invalid, "the seal's program ended and left another that holds its output")
	case e.Lost:
		return execAnswer{}, fault.New(fault.Unavailable, "the seal's program could not be waited for")
	}
	a, parsed := parseExec(op, e.Out.Bytes())
	if e.Exit == nil {
		return a, parsed
	}
	clear(a.Plaintext)
	if parsed != nil && reports(e.Out.Bytes()) {
		return execAnswer{}, parsed // it says more than the exit code
	}
	msg := "the seal's program ended with " + e.Exit.String()
	if words := tell(e.Said.Bytes()); words != "" {
		msg += ": " + words
	}
	return execAnswer{}, fault.New(fault.Unavailable, msg)
}

// reports tells whether an answer is a well-formed error.
func reports(b []byte) bool {
	var a execAnswer
	err := safe.Strict(b, &a)
	clear(a.Plaintext)
	return err == nil && a.Error != nil
}
