// Package vaultserver is what the programs of tools/vault and tools/openbao have in
// common: flags, a listener, keys that are made and kept in files, one node or two,
// and an end.
//
// Such a server is a peer for tests alone. It refuses to listen anywhere but on
// loopback, it forgets everything when it ends, and it ends when its input ends, so
// that no test leaves one behind.
//
// # Security
//
// The unseal key and the root token are written to files of mode 0600. Nothing else
// protects these servers: real secrets don't belong there.
package vaultserver

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Program is a server's code.
type Program struct {
	Name    string // "vault" or "openbao"
	Version string // of its release, like "1.21.4"
	// Store makes storage in memory, and gives what makes a node on it. Clients reach
	// the node at the address. The log is on standard error, from a level on.
	Store func(level string) (node func(address string) (Node, error), err error)
}

// Node is a core of the server and its HTTP handler.
type Node interface {
	http.Handler
	// Init makes the root token and the one unseal key, once for a storage.
	Init(ctx context.Context) (root string, unseal []byte, err error)
	// Unseal says whether it is unsealed.
	Unseal(key []byte) (bool, error)
	// Standby says whether another one is active, or none is yet.
	Standby() (bool, error)
}

// ready is what is printed, as one line of JSON, when the server answers.
type ready struct {
	Address        string `json:"address"`
	CAFile         string `json:"caFile,omitempty"`
	TokenFile      string `json:"tokenFile"`
	UnsealKeyFile  string `json:"unsealKeyFile"`
	StandbyAddress string `json:"standbyAddress,omitempty"`
	Name           string `json:"name"`
	Version        string `json:"version"`
}

type options struct {
	listen, dir, level string
	plain, standby     bool
}

// Main is the program's: it reads the flags, serves, and ends the process with status
// 1 where that went wrong.
func Main(p Program) {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address; loopback alone")
	flag.StringVar(&o.dir, "dir", "", "directory for token, unseal-key and ca.pem; a new temporary one when empty")
	flag.StringVar(&o.level, "log", "error", "level of the log on standard error")
	flag.BoolVar(&o.plain, "plain", false, "plain HTTP instead of TLS")
	flag.BoolVar(&o.standby, "standby", false, "a second node too, which is on standby and redirects")
	flag.Parse()
	if err := run(p, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(p Program, o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "real"+p.Name)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	node, err := p.Store(o.level)
	if err != nil {
		return err
	}
	first, err := listen(o, "")
	if err != nil {
		return err
	}
	active, err := node(first.address)
	if err != nil {
		return err
	}
	out := ready{Address: first.address, CAFile: first.caFile, Name: p.Name, Version: p.Version,
		TokenFile: filepath.Join(o.dir, "token"), UnsealKeyFile: filepath.Join(o.dir, "unseal-key")}
	key, err := initialize(ctx, active, out)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- serve(first, active) }()
	if o.standby {
		second, err := listen(o, first.caFile)
		if err != nil {
			return err
		}
		other, err := node(second.address)
		if err != nil {
			return err
		}
		if _, err := other.Unseal(key); err != nil {
			return err
		}
		out.StandbyAddress = second.address
		go func() { failed <- serve(second, other) }()
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); end() }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// initialize writes the root token and the unseal key, and waits until the node is
// the active one: with a lock in its storage it begins on standby.
func initialize(ctx context.Context, n Node, out ready) ([]byte, error) {
	root, key, err := n.Init(ctx)
	if err != nil {
		return nil, err
	}
	if open, err := n.Unseal(key); err != nil || !open {
		return nil, fmt.Errorf("it did not unseal: %w", err)
	}
	for {
		if waits, err := n.Standby(); err != nil || !waits {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := os.WriteFile(out.TokenFile, []byte(root), 0o600); err != nil {
		return nil, err
	}
	return key, os.WriteFile(out.UnsealKeyFile, []byte(hex.EncodeToString(key)), 0o600)
}

func serve(l net.Listener, n Node) error {
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: n}
	return s.Serve(l)
}
