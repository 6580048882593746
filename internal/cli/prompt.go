package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
)

// maxLine bounds a line that is typed or piped in, in bytes.
const maxLine = 16 << 10

// typing says whether stdin is a person's terminal.
func (p *program) typing() bool { return term.IsTerminal(int(p.in.Fd())) }

// ask asks for one line. Piped input is read line by line, without a prompt.
func (p *program) ask(ctx context.Context, label string) (string, error) {
	if p.typing() {
		fmt.Fprintf(p.err, "%s: ", label)
	}
	b, err := p.patiently(ctx, func() ([]byte, error) { return readLine(p.in) })
	if err != nil {
		return "", missing(label, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// askHidden asks for one line that is not shown while it is typed.
func (p *program) askHidden(ctx context.Context, label string) ([]byte, error) {
	if !p.typing() {
		b, err := p.patiently(ctx, func() ([]byte, error) { return readLine(p.in) })
		if err != nil {
			return nil, missing(label, err)
		}
		return b, nil
	}
	// The echo is off before anything asks for the answer: whoever types it as soon
	// as the prompt is there would see it otherwise.
	restore, err := mute(int(p.in.Fd()))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "turning the terminal's echo off", err)
	}
	fmt.Fprintf(p.err, "%s: ", label)
	b, err := p.patiently(ctx, func() ([]byte, error) { return readLine(p.in) })
	err = errors.Join(err, fault.Wrap(fault.Unavailable, "turning the terminal's echo on again", restore()))
	fmt.Fprintln(p.err)
	if err != nil {
		return nil, missing(label, err)
	}
	return b, nil
}

// patiently waits for a read, or for the end of ctx.
func (p *program) patiently(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	done := make(chan answer, 1)
	crash.Go(func() {
		b, err := read()
		done <- answer{b, err}
	}, func(p *crash.Panic) { done <- answer{nil, p} })
	select {
	case a := <-done:
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func missing(label string, err error) error {
	if errors.Is(err, io.EOF) {
		return &usageError{"there is no line with the " + label, ""}
	}
	return err
}

// readLine reads up to a line's end and not a byte more: what follows is the next
// prompt's.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) <= maxLine {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return bytes.TrimSuffix(line, []byte("\r")), nil
		case n == 1:
			line = append(line, b[0])
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, &usageError{"the line is too long", ""}
}
