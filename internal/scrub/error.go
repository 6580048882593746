package scrub

import (
	"context"
	"errors"
	"io"
	"os"

	"sallyport.dev/internal/fault"
)

// Error gives an error with err's text, kind and hint, scrubbed, and nothing
// else of err: its chain can't be reached, whose parts would tell what the text
// no longer does. errors.Is still knows the ends of a stream, a cancelled
// context and a deadline. Nil stays nil.
func (s *Set) Error(err error) error {
	if err == nil {
		return nil
	}
	text, _ := s.String(err.Error())
	c := &cleanError{text: text}
	for _, t := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe,
		context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded,
	} {
		if errors.Is(err, t) {
			c.is = append(c.is, t)
		}
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		hint, _ := s.String(fault.HintOf(err))
		c.fault = &fault.Error{Kind: fault.KindOf(err), Msg: text, Hint: hint}
	}
	return c
}

// cleanError is a text, and what may be known about it.
type cleanError struct {
	text  string
	fault *fault.Error
	is    []error
}

func (c *cleanError) Error() string { return c.text }

// Is lets errors.Is see the few errors that have no text of their own to hide.
func (c *cleanError) Is(target error) bool {
	for _, e := range c.is {
		if e == target {
			return true
		}
	}
	return false
}

// As gives the fault, whose kind and hint edges ask for.
func (c *cleanError) As(target any) bool {
	f, ok := target.(**fault.Error)
	if ok && c.fault != nil {
		*f = c.fault
		return true
	}
	return false
}
