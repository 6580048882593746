package proccred

import (
	"bytes"
	"context"
	"net/http"
)

// InFlight is how many calls children have that are not answered.
func (c *Children) InFlight() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.live {
		ch.mu.Lock()
		n += len(ch.calls)
		ch.mu.Unlock()
	}
	return n
}

// Live is how many children there are.
func (c *Children) Live() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.live)
}

// ToDraining writes a line to the child that is to end when its calls have.
func (c *Children) ToDraining(ctx context.Context, line string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.live {
		ch.mu.Lock()
		draining := ch.stopping == stopDrained
		ch.mu.Unlock()
		if draining {
			_, err := ch.send(ctx, []byte(line))
			return err
		}
	}
	return http.ErrServerClosed
}

// Frames reads all lines of b.
func Frames(b []byte, limit int) (lines []string, err error) {
	f := newFrames(bytes.NewReader(b), limit)
	for {
		line, err := f.next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}
