package program

import (
	"bytes"
	"errors"
	"io"
)

// Sink keeps the first bytes that a program writes. It reads into one buffer, so
// that no copy of a secret is left elsewhere. Beyond the limit it calls full, or
// without one drops the rest.
type Sink struct {
	// Over says that there was more.
	Over bool

	limit int
	full  func()
	b     []byte
}

// ReadFrom reads to the end; os/exec calls it.
func (s *Sink) ReadFrom(r io.Reader) (int64, error) {
	if s.b == nil {
		s.b = make([]byte, 0, s.limit)
	}
	for {
		if len(s.b) == cap(s.b) {
			return int64(len(s.b)), s.rest(r)
		}
		n, err := r.Read(s.b[len(s.b):cap(s.b)])
		s.b = s.b[:len(s.b)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return int64(len(s.b)), err
		}
	}
}

// rest is what comes after the limit.
func (s *Sink) rest(r io.Reader) error {
	var more [1]byte
	n, err := io.ReadFull(r, more[:])
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
	s.Over = true
	if s.full != nil {
		s.full()
		return nil
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// Write is there for io.Copy, which takes ReadFrom where it can.
func (s *Sink) Write(p []byte) (int, error) {
	_, err := s.ReadFrom(bytes.NewReader(p))
	return len(p), err
}

// Bytes is what it has.
func (s *Sink) Bytes() []byte { return s.b }

func (s *Sink) wipe() { clear(s.b[:cap(s.b)]) }
