package cli

import (
	"time"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/awssm"
	"sallyport.dev/internal/vault/backend/azurekv"
	"sallyport.dev/internal/vault/backend/gcpsm"
	"sallyport.dev/internal/vault/backend/kube"
	"sallyport.dev/internal/vault/backend/local"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vault/backend/vaultlease"
)

// backends makes of the file what Secrets can point to. Without a file there is
// nothing.
func (p *program) backends(file, tenant string) (*backend.Registry, error) {
	if file == "" {
		return nil, nil
	}
	in, err := config.LoadBackends(file)
	if err != nil {
		return nil, err
	}
	var entries []backend.Entry
	for _, b := range in.Backends {
		made, err := oneBackend(b)
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), "the backend "+fault.Quote(b.Name), err)
		}
		if b.Files != nil || b.Environment != nil {
			p.warn("the backend " + fault.Quote(b.Name) + " keeps values in the clear on this machine: use it to try things, and a vault for what matters")
		}
		e := backend.Entry{Name: b.Name, Paths: b.Paths, Backend: made}
		for _, t := range b.Tenants {
			e.Tenants = append(e.Tenants, ident.Tenant(t))
		}
		if len(e.Tenants) == 0 {
			e.Tenants = []ident.Tenant{ident.Tenant(tenant)}
		}
		entries = append(entries, e)
	}
	return backend.NewRegistry(entries...)
}

// oneBackend makes the one kind that is set.
func oneBackend(b config.Backend) (made backend.Backend, err error) {
	kinds := 0
	set := func(is bool, f func() (backend.Backend, error)) {
		if !is {
			return
		}
		if kinds++; kinds == 1 {
			made, err = f()
		}
	}
	set(b.Vault != nil, func() (backend.Backend, error) { return vaultkv.New(*b.Vault, time.Now) })
	set(b.VaultDynamic != nil, func() (backend.Backend, error) { return vaultlease.New(*b.VaultDynamic, time.Now) })
	set(b.AWS != nil, func() (backend.Backend, error) { return awssm.New(*b.AWS, time.Now) })
	set(b.Azure != nil, func() (backend.Backend, error) { return azurekv.New(*b.Azure, time.Now) })
	set(b.Google != nil, func() (backend.Backend, error) { return gcpsm.New(*b.Google, time.Now) })
	set(b.Kubernetes != nil, func() (backend.Backend, error) { return kube.New(*b.Kubernetes) })
	set(b.Files != nil, func() (backend.Backend, error) { return local.NewFiles(*b.Files) })
	set(b.Environment != nil, func() (backend.Backend, error) { return local.NewEnvironment(*b.Environment) })
	if kinds != 1 {
		return nil, fault.New(fault.Invalid, "it is one of vault, vaultDynamic, awsSecretsManager, azureKeyVault, googleSecretManager, kubernetes, files and environment")
	}
	return made, err
}
