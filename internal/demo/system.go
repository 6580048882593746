package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
)

// SystemCommand is the hidden command of the binary that runs one of the example
// company's systems.
const SystemCommand = "demo-system"

// Command makes the command that runs a system with its arguments.
type Command func(ctx context.Context, name string, args []string) (*exec.Cmd, error)

// System is a running system of the example company.
type System struct {
	Name    string
	Addr    string // host:port of its API
	Control string // host:port of its counts and test behaviours
	cmd     *exec.Cmd
	stdin   io.Closer // it ends when this is closed, so also when we are killed
}

// again starts this program a second time.
func again(ctx context.Context, name string, args []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "finding this program", err)
	}
	return exec.CommandContext(ctx, self, append([]string{SystemCommand, name}, args...)...), nil //nolint:gosec // it is this program
}

// startSystems starts each system, the first time on a free port, then always on that
// one: what was approved and not sent yet names it, and whoever has it now must not
// be sent anything.
func (d *Demo) startSystems(ctx context.Context) error {
	file := filepath.Join(d.cfg.Dir, "company", "addresses.json")
	last := map[string]string{}
	if err := readJSON(file, &last); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Wrap(fault.Invalid, "reading the systems' addresses", err)
	}
	for _, name := range company.Names {
		if name == company.ScriptedModel && d.cfg.Model != nil {
			continue
		}
		s, err := d.startSystem(ctx, name, last[name])
		if err != nil && last[name] != "" {
			no := fault.Newf(fault.Unavailable, "starting the system %s on its address, %s", name, last[name]).
				WithHint("end the program that listens there and start again, or start with another --data")
			no.Err = err
			return no
		}
		if err != nil {
			return err
		}
		d.Systems[name], last[name] = s, s.Addr
	}
	return fault.Wrap(fault.Unavailable, "writing the systems' addresses", writeJSON(file, last))
}

// startWait is how long a system may take until it answers.
const startWait = 20 * time.Second

func (d *Demo) startSystem(ctx context.Context, name, addr string) (*System, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	dir := filepath.Join(d.cfg.Dir, "company")
	args := append([]string{"-addr", addr, "-control", "127.0.0.1:0", "-data", filepath.Join(dir, name),
		"-credentials", company.Path(dir, name), "-die-with-stdin"}, d.cfg.SystemArgs[name]...)
	command := d.cfg.Command
	if command == nil {
		command = again
	}
	// Ctrl-C ends the server in order first: the systems are ended by us.
	cmd, err := command(context.WithoutCancel(ctx), name, args)
	if err != nil {
		return nil, err
	}
	detach(cmd)
	s := &System{Name: name, cmd: cmd}
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "starting "+name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "starting "+name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "starting "+name, err)
	}
	if err := s.ready(ctx, out); err != nil {
		return nil, errors.Join(fault.Wrap(fault.Unavailable, "starting "+name, err), s.stop())
	}
	return s, nil
}

// ready waits for the line in which the system says where it listens.
func (s *System) ready(ctx context.Context, out io.Reader) error {
	line := make(chan []byte, 1)
	crash.Go(func() {
		b, _ := bufio.NewReader(out).ReadBytes('\n') // an early end leaves an empty line
		line <- b
	}, func(*crash.Panic) { line <- nil })
	select {
	case b := <-line:
		var r struct{ Addr, Control string }
		if json.Unmarshal(b, &r) != nil || r.Addr == "" {
			return errors.New("it ended before it was ready")
		}
		s.Addr, s.Control = r.Addr, r.Control
		return nil
	case <-time.After(startWait):
		return errors.New("it is not ready after 20 seconds")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the system in order, and waits for it.
func (s *System) stop() error {
	_ = s.stdin.Close() // it ends when its input does
	done := make(chan struct{})
	crash.Go(func() {
		defer close(done)
		_ = s.cmd.Wait() // its status is of no interest any more
	}, func(*crash.Panic) {})
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill() // it may have ended just now
		<-done
	}
	return nil
}
