// Package system is what the example company's four systems have in common:
// each runs as a process of its own on loopback, serves its OpenAPI document,
// asks for its own credentials, enforces their scopes, keeps its state on disk,
// and counts what it did.
//
// It refuses to listen anywhere but on loopback, to read a credentials file
// that others can read, and to share a data directory with another process.
//
// # Security
//
// Credentials are compared by their SHA-256 in constant time, each with each.
// They are never logged, and counted only by name and hash. The counts and the
// test behaviours (see [Behaviour]) are on a second listener, which exists only
// when it is asked for with -control and is in no OpenAPI document: a system
// can't be told through its API to misbehave.
package system

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// System is a kind of system: what it serves and how it is opened.
type System struct {
	Name    string
	OpenAPI []byte // OpenAPI 3.0, JSON; served without authentication
	Scheme  Scheme
	Flags   func(*flag.FlagSet) // more flags of its own, may be nil
	Open    func(dir string) (*Service, error)
}

// Service is an opened system.
type Service struct {
	Routes []Route
	Counts func() map[string]int // durable counts, may be nil
	Close  func() error          // may be nil
}

// Route is one operation of the API.
type Route struct {
	Pattern string  // as in [http.ServeMux], with its method
	Scope   string  // what the credential must have; "" asks for any valid credential
	Scheme  *Scheme // how the credential is presented, where not as elsewhere in the system
	Write   bool    // counted as a write when it answers 2xx
	Handle  http.HandlerFunc
}

// Options say how a system is started.
type Options struct {
	Addr        string // loopback host:port, "127.0.0.1:0" when empty
	Control     string // loopback host:port of the control listener, none when empty
	Data        string // directory of its state, made with mode 0700
	Credentials string // path of the credentials file, see [Credential]
	Behaviour   string // mode at start, normal when empty
	// Wait is how long it waits for an address that somebody else has, 10 seconds
	// when zero: who was killed, or a connection that got the port meanwhile, lets go
	// of it soon.
	Wait time.Duration
}

// Running is a system that answers.
type Running struct {
	Addr, Control string // host:port; Control is "" without a control listener
	servers       []*http.Server
	core          *core
	close         []func() error
	cancel        context.CancelFunc
}

// Start opens sys and serves it until Close or the end of ctx. When it returns,
// requests are answered.
func (sys System) Start(ctx context.Context, o Options) (_ *Running, err error) {
	run := &Running{}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.Close())
		}
	}()
	keys, err := readCredentials(o.Credentials)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory of %s: %w", sys.Name, err)
	}
	unlock, err := lock(ctx, filepath.Join(o.Data, "lock"))
	if err != nil {
		return nil, fmt.Errorf("locking the data directory of %s: %w", sys.Name, err)
	}
	run.close = append(run.close, unlock)
	svc, err := sys.Open(o.Data)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", sys.Name, err)
	}
	if svc.Close != nil {
		run.close = append(run.close, svc.Close)
	}
	c := newCore(sys, svc, keys, o.Credentials)
	run.core = c
	if err := c.behave(Behaviour{Mode: Mode(o.Behaviour)}); err != nil {
		return nil, err
	}
	ctx, run.cancel = context.WithCancel(ctx)
	if run.Addr, err = run.listen(ctx, o.Addr, o.Wait, c.api()); err != nil {
		return nil, err
	}
	if o.Control != "" {
		if run.Control, err = run.listen(ctx, o.Control, o.Wait, c.control()); err != nil {
			return nil, err
		}
	}
	return run, nil
}

func (run *Running) listen(ctx context.Context, addr string, wait time.Duration, h http.Handler) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("reading the address to listen on: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", errors.New("the example's systems listen on loopback addresses only, like 127.0.0.1:0")
	}
	l, err := bind(ctx, addr, cmp.Or(wait, 10*time.Second))
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	run.servers = append(run.servers, srv)
	go func() { _ = srv.Serve(l) }() // ends with ErrServerClosed when run is closed
	return l.Addr().String(), nil
}

// bind listens on an address, as soon as nobody else does. It never takes another
// one: what was prepared for this system names where it is.
func bind(ctx context.Context, addr string, wait time.Duration) (net.Listener, error) {
	limit, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		select {
		case <-limit.Done():
			return nil, fmt.Errorf("another program has it, and did not let go of it in %s: %w", wait, err)
		case <-retry.C:
		}
	}
}

// Close lets go of held requests, gives the others two seconds, and closes the
// state. It may be called once.
func (run *Running) Close() error {
	if run.cancel != nil {
		run.cancel()
	}
	var errs []error
	for _, srv := range run.servers {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, srv.Close())
		}
		cancel()
	}
	for i := len(run.close) - 1; i >= 0; i-- {
		errs = append(errs, run.close[i]())
	}
	return errors.Join(errs...)
}

// Ready is the one line that a system prints on stdout when it answers.
type Ready struct {
	Addr    string `json:"addr"`
	Control string `json:"control,omitempty"`
}

// Main runs the system as a program: flags in args, one JSON line ([Ready]) on
// stdout when it answers, until ctx is done or, with -die-with-stdin, until
// standard input ends, which it does when the parent process is killed.
func (sys System) Main(ctx context.Context, args []string, stdout io.Writer) error {
	var o Options
	fs := flag.NewFlagSet(sys.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // a mistake is returned, and printed by the caller
	fs.StringVar(&o.Addr, "addr", "127.0.0.1:0", "loopback `address` to listen on")
	fs.StringVar(&o.Data, "data", "", "`directory` of the state")
	fs.StringVar(&o.Credentials, "credentials", "", "JSON `file` with the credentials to accept, mode 0600")
	fs.StringVar(&o.Control, "control", "", "loopback `address` of the control listener (counts, test behaviours)")
	fs.StringVar(&o.Behaviour, "behaviour", "", "test behaviour to start with")
	fs.DurationVar(&o.Wait, "wait", 0, "how `long` to wait for an address that is taken (10s)")
	die := fs.Bool("die-with-stdin", false, "exit when standard input ends")
	if sys.Flags != nil {
		sys.Flags(fs)
	}
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%s: %w", sys.Name, err)
	}
	if fs.NArg() > 0 || o.Data == "" || o.Credentials == "" {
		return fmt.Errorf("%s: -data and -credentials are needed, and nothing but flags", sys.Name)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *die {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	run, err := sys.Start(ctx, o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(Ready{run.Addr, run.Control}); err != nil {
		return errors.Join(fmt.Errorf("saying where %s listens: %w", sys.Name, err), run.Close())
	}
	<-ctx.Done()
	return run.Close()
}
