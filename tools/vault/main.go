// Command vault is a real HashiCorp Vault for tests: the core, its HTTP handler and
// the engines and sign-ins that Sallyport speaks to, linked from the published
// module, with storage in memory. What it refuses is in package vaultserver.
package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/hashicorp/vault/version"

	"sallyport.dev/tools/vaultserver"
)

func main() {
	vaultserver.Main(vaultserver.Program{Name: "vault", Version: version.GetVersion().Version, Store: store})
}

type node struct {
	http.Handler
	*vault.Core
}

func store(level string) (func(string) (vaultserver.Node, error), error) {
	log := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.LevelFromString(level), Output: os.Stderr})
	s, err := inmem.NewInmemHA(nil, log)
	if err != nil {
		return nil, err
	}
	ha, ok := s.(physical.HABackend)
	if !ok {
		return nil, errors.New("the storage has no lock for a second node")
	}
	return func(address string) (vaultserver.Node, error) {
		core, err := vault.NewCore(&vault.CoreConfig{
			Physical: s, HAPhysical: ha, RedirectAddr: address, StorageType: "inmem_ha", DisableMlock: true,
			Logger: log, BuiltinRegistry: builtins{}, NumRollbackWorkers: 2, ClusterName: "sallyport-tests",
			DefaultLeaseTTL: 768 * time.Hour, MaxLeaseTTL: 768 * time.Hour,
		})
		if err != nil {
			return nil, err
		}
		h := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}})
		return node{h, core}, nil
	}, nil
}

func (n node) Init(ctx context.Context) (string, []byte, error) {
	got, err := n.Initialize(ctx, &vault.InitParams{BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}})
	if err != nil {
		return "", nil, err
	}
	return got.RootToken, got.SecretShares[0], nil
}
