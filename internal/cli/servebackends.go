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
	"sallyport.dev/internal/vault/backend/onepassword"
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
		made, kind, err := oneBackend(b)
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), "the backend "+fault.Quote(b.Name), err)
		}
		if b.Files != nil || b.Environment != nil {
			p.warn("the backend " + fault.Quote(b.Name) + " keeps values in the clear on this machine: use it to try things, and a vault for what matters")
		}
		if r, ok := made.(backend.Enterer); ok {
			if err := r.Ready(); err != nil {
				p.warn("the backend " + fault.Quote(b.Name) + " gives nothing before this is mended: " + err.Error())
				if h := fault.HintOf(err); h != "" {
					p.say("hint: %s", h)
				}
			}
		}
		e := backend.Entry{Name: b.Name, Paths: b.Paths, Backend: made, Kind: kind, HookFile: b.HookKeyFile, MaxLeases: b.MaxLeases}
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
func oneBackend(b config.Backend) (made backend.Backend, kind string, err error) {
	const all = "vault, vaultDynamic, awsSecretsManager, azureKeyVault, googleSecretManager, onePassword, kubernetes, files and environment"
	set := func(is bool, name string, f func() (backend.Backend, error)) {
		switch {
		case !is:
		case kind != "":
			err = fault.New(fault.Invalid, "it is one of "+all)
		default:
			kind = name
			made, err = f()
		}
	}
	set(b.Vault != nil, "vault", func() (backend.Backend, error) { return vaultkv.New(*b.Vault, time.Now) })
	set(b.VaultDynamic != nil, "vaultDynamic", func() (backend.Backend, error) { return vaultlease.New(*b.VaultDynamic, time.Now) })
	set(b.AWS != nil, "awsSecretsManager", func() (backend.Backend, error) { return awssm.New(*b.AWS, time.Now) })
	set(b.Azure != nil, "azureKeyVault", func() (backend.Backend, error) { return azurekv.New(*b.Azure, time.Now) })
	set(b.Google != nil, "googleSecretManager", func() (backend.Backend, error) { return gcpsm.New(*b.Google, time.Now) })
	set(b.OnePassword != nil, "onePassword", func() (backend.Backend, error) { return onepassword.New(*b.OnePassword) })
	set(b.Kubernetes != nil, "kubernetes", func() (backend.Backend, error) { return kube.New(*b.Kubernetes) })
	set(b.Files != nil, "files", func() (backend.Backend, error) { return local.NewFiles(*b.Files) })
	set(b.Environment != nil, "environment", func() (backend.Backend, error) { return local.NewEnvironment(*b.Environment) })
	if kind == "" {
		err = fault.New(fault.Invalid, "it is one of "+all)
	}
	return made, kind, err
}
