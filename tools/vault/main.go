// Command vault is a real HashiCorp Vault for tests: the core, its HTTP handler and
// the engines and sign-ins that Sallyport speaks to, linked from the published
// module, with storage in memory.
//
// It is a peer for tests alone. It refuses to listen anywhere but on loopback, it
// forgets everything when it ends, and it ends when its input ends, so that no test
// leaves one behind.
//
// # Security
//
// The unseal key and the root token are written to files of mode 0600. Nothing else
// protects this server: real secrets don't belong there.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
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

	"github.com/hashicorp/go-hclog"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/hashicorp/vault/version"
)

// ready is what is printed, as one line of JSON, when the server answers.
type ready struct {
	Address        string `json:"address"`
	CAFile         string `json:"caFile,omitempty"`
	TokenFile      string `json:"tokenFile"`
	UnsealKeyFile  string `json:"unsealKeyFile"`
	StandbyAddress string `json:"standbyAddress,omitempty"`
	Version        string `json:"version"`
}

type options struct {
	listen, dir, level string
	plain, standby     bool
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address; loopback alone")
	flag.StringVar(&o.dir, "dir", "", "directory for token, unseal-key and ca.pem; a new temporary one when empty")
	flag.StringVar(&o.level, "log", "error", "level of the log on standard error")
	flag.BoolVar(&o.plain, "plain", false, "plain HTTP instead of TLS")
	flag.BoolVar(&o.standby, "standby", false, "a second node too, which is on standby and redirects")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "realvault")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.LevelFromString(o.level), Output: os.Stderr})
	store, err := inmem.NewInmemHA(nil, log)
	if err != nil {
		return err
	}
	first, err := listen(o, "")
	if err != nil {
		return err
	}
	core, err := newCore(store, first.address, log)
	if err != nil {
		return err
	}
	out := ready{Address: first.address, CAFile: first.caFile, Version: version.GetVersion().Version,
		TokenFile: filepath.Join(o.dir, "token"), UnsealKeyFile: filepath.Join(o.dir, "unseal-key")}
	key, err := initialize(ctx, core, out)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- serve(first.Listener, core) }()
	if o.standby {
		second, err := listen(o, first.caFile)
		if err != nil {
			return err
		}
		other, err := newCore(store, second.address, log)
		if err != nil {
			return err
		}
		if _, err := other.Unseal(key); err != nil {
			return err
		}
		out.StandbyAddress = second.address
		go func() { failed <- serve(second.Listener, other) }()
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

func newCore(store physical.Backend, address string, log hclog.Logger) (*vault.Core, error) {
	ha, ok := store.(physical.HABackend)
	if !ok {
		return nil, errors.New("the storage has no lock for a second node")
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical: store, HAPhysical: ha, RedirectAddr: address, StorageType: "inmem_ha", DisableMlock: true,
		Logger: log, BuiltinRegistry: builtins{}, NumRollbackWorkers: 2, ClusterName: "sallyport-tests",
		DefaultLeaseTTL: 768 * time.Hour, MaxLeaseTTL: 768 * time.Hour,
	})
}

// initialize makes the root token and the one unseal key, and waits until the node is
// the active one: with a lock in its storage it begins on standby.
func initialize(ctx context.Context, core *vault.Core, out ready) ([]byte, error) {
	got, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}})
	if err != nil {
		return nil, err
	}
	key := got.SecretShares[0]
	if open, err := core.Unseal(key); err != nil || !open {
		return nil, fmt.Errorf("it did not unseal: %w", err)
	}
	for {
		if waits, err := core.Standby(); err != nil || !waits {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := os.WriteFile(out.TokenFile, []byte(got.RootToken), 0o600); err != nil {
		return nil, err
	}
	return key, os.WriteFile(out.UnsealKeyFile, []byte(hex.EncodeToString(key)), 0o600)
}

func serve(l net.Listener, core *vault.Core) error {
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core, ListenerConfig: &configutil.Listener{}})}
	return s.Serve(l)
}
