package proccred

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"sallyport.dev/internal/confine"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// Limits of a child where its resource names none.
const (
	defaultMemory    = 1 << 30 // bytes
	defaultProcesses = 64
	defaultOpenFiles = 256
	fileSize         = 256 << 20 // bytes; not to be chosen
)

// live is a child's whole life; it wipes the value when the process has it. The thread is locked: the kernel kills the process
// when the thread that started it ends, and this one lasts as long as the process.
func (ch *child) live(s Spec, value plain.Value) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(ch.gone)
	began := ch.all.cfg.Now()
	how := "it was not started"
	crash.Guard(func() { how = ch.run(s, value) }, func(p *crash.Panic) {
		p.Log(context.Background(), ch.all.cfg.Log)
		ch.signal(kill)
	})
	select {
	case <-ch.ready:
	default:
		ch.failed = fault.New(fault.Unavailable, "the server's process could not be started")
		close(ch.ready)
	}
	select {
	case <-ch.ended:
	default:
		ch.finish(how)
	}
	ch.all.ended(ch, ch.all.cfg.Now().Sub(began), how)
}

// run starts the process and gives how it ended.
func (ch *child) run(s Spec, value plain.Value) string {
	home, err := os.MkdirTemp(ch.all.cfg.Temp, "sallyport-child-")
	if err != nil {
		return "no directory for it"
	}
	defer func() { _ = os.RemoveAll(home) }() // it may have locked itself out of a part of it
	p, report, err := ch.start(s, home, value)
	plain.Wipe(value)
	if err != nil {
		ch.failed = err
		close(ch.ready)
		return err.Error()
	}
	log := ch.all.cfg.Log.With(slog.String("connection", s.Key.Connection), slog.Int("pid", ch.pid),
		slog.Int("landlock", report.Landlock), slog.Bool("filter", report.Filter))
	if report.Whole() {
		log.InfoContext(context.Background(), "a server's process runs")
	} else {
		log.WarnContext(context.Background(), "a server's process runs that the system can't hold to its paths and its network", slog.String("hint", "docs/mcp-stdio.md says what that means"))
	}
	close(ch.ready)
	var readers, watcher crash.Group
	readers.Go(func() { ch.read(p.out) })
	readers.Go(func() { ch.slot.tail.drink(p.errs) })
	watcher.Go(ch.watch)
	how := p.wait(ch)
	// What it left in its pipes is read; who else holds them is not waited for.
	soon := time.Now().Add(time.Second)
	_ = errors.Join(p.out.SetReadDeadline(soon), p.errs.SetReadDeadline(soon)) // pipes take deadlines
	readers.Wait()
	_ = errors.Join(ch.in.Close(), p.out.Close(), p.errs.Close()) // nobody is at the other ends
	ch.finish(how)
	watcher.Wait()
	return how
}

// process is a started one, with our ends of its pipes.
type process struct {
	cmd       *exec.Cmd
	out, errs *os.File
}

// wait gives how the process ended, after killing what it left in its group. Nobody
// signals it when it is off the books; see signal.
func (p *process) wait(ch *child) string {
	var err error
	ended := untilExit(ch.pid)
	if !ended {
		err = p.cmd.Wait()
	}
	ch.mu.Lock()
	kill(ch.pid) // the number is the group's until it is waited for, or while it has somebody
	if ended {
		err = p.cmd.Wait() // at once
	}
	ch.reaped = true
	ch.mu.Unlock()
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		return exited.String()
	}
	if err != nil {
		return "it could not be waited for"
	}
	return "exit status 0"
}

// start starts this program as the process that becomes the child, and waits until
// it has.
func (ch *child) start(s Spec, home string, value plain.Value) (*process, confine.Report, error) {
	var ours, theirs []*os.File // closed when it goes wrong; theirs also when it goes right
	closing := func(files []*os.File) {
		for _, f := range files {
			if f != nil {
				_ = f.Close() // nothing of it is lost
			}
		}
	}
	defer func() { closing(theirs) }()
	var pipes [5][2]*os.File // in, out, errs, spec, report
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			closing(ours)
			return nil, confine.Report{}, fault.New(fault.Unavailable, "no pipes for the server's process")
		}
		pipes[i] = [2]*os.File{r, w}
		if i == 0 || i == 3 {
			ours, theirs = append(ours, w), append(theirs, r)
		} else {
			ours, theirs = append(ours, r), append(theirs, w)
		}
	}
	in, out, errs, spec, report := ours[0], ours[1], ours[2], ours[3], ours[4]
	var credential *os.File
	if fromDescriptor(s) {
		var err error
		if credential, err = inMemory(plain.Bytes(value)); err != nil {
			closing(ours)
			return nil, confine.Report{}, err
		}
		theirs = append(theirs, credential)
	}
	cmd := exec.Command(self(), confine.Command) //nolint:gosec,noctx // it is this program; how it ends is watch's
	cmd.Args[0] = os.Args[0]                     // by which a program of several is known
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], theirs[2]
	cmd.ExtraFiles = []*os.File{credential, theirs[3], theirs[4]} // confine's SecretFD, SpecFD, ReportFD
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		closing(ours)
		return nil, confine.Report{}, fault.New(fault.Unavailable, "the server's process can't be started")
	}
	closing(theirs)
	theirs = nil
	defer closing([]*os.File{spec, report})
	ch.pid, ch.in = cmd.Process.Pid, in
	p := &process{cmd: cmd, out: out, errs: errs}
	what := describe(s, home, value, ch.all.cfg.Guarded)
	got, err := become(spec, report, what)
	for _, e := range what.Env {
		clear(e) // the credential is in one of them
	}
	if err != nil {
		kill(ch.pid)
		_ = cmd.Wait() // it was killed
		ch.slot.tail.drink(io.LimitReader(errs, 64<<10))
		closing([]*os.File{in, out, errs})
		return nil, confine.Report{}, err
	}
	return p, got, nil
}

// become tells the process what to be, and waits until it is.
func become(spec, report *os.File, s confine.Spec) (r confine.Report, err error) {
	until := time.Now().Add(startTime)
	_ = errors.Join(spec.SetWriteDeadline(until), report.SetReadDeadline(until)) // pipes take deadlines
	plain.Do(func() { err = confine.Write(spec, s) })
	if err == nil {
		err = spec.Close()
	}
	if err != nil {
		// It may have said why it took nothing.
		if _, why := confine.ReadReport(report); fault.Is(why, fault.Denied) {
			return r, why
		}
		return r, fault.New(fault.Unavailable, "the server's process did not start")
	}
	return confine.ReadReport(report)
}

// describe is what the process is to become.
func describe(s Spec, home string, value plain.Value, guarded []string) confine.Spec {
	st := s.Stdio
	pick := func(n, or int64) int64 {
		if n == 0 {
			return or
		}
		return n
	}
	dir := st.Dir
	read := st.Read
	if dir == "" {
		dir = home
	} else {
		read = append([]string{dir}, read...)
	}
	return confine.Spec{
		Command: st.Command, Dir: filepath.Clean(dir), Env: environment(s, home, value), Secret: fromDescriptor(s),
		Read: read, Write: append([]string{home}, st.Write...), Guarded: guarded, Network: st.Network, Demand: st.Sandboxed(),
		Memory: pick(st.Memory, defaultMemory), FileSize: fileSize,
		Processes: int(pick(int64(st.Processes), defaultProcesses)), OpenFiles: int(pick(int64(st.OpenFiles), defaultOpenFiles)),
	}
}
