package config

import (
	"path/filepath"
	"reflect"

	"sallyport.dev/internal/fault"
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

// Backends is the server's file on what keeps values outside of its own store.
type Backends struct {
	Backends []Backend `yaml:"backends"`
}

// Backend is one of them; exactly one of its kinds is set.
type Backend struct {
	Name string `yaml:"name"` // by which pointers name it
	// Tenants may point to it; empty: the server's own alone.
	Tenants []string `yaml:"tenants,omitempty"`
	// Paths are what may be pointed to: a path, or all below one. Empty: all.
	Paths []string `yaml:"paths,omitempty"`
	// HookKeyFile has the key (whsec_..., Standard Webhooks) of who may tell that
	// something has changed there; empty: nobody.
	HookKeyFile string `yaml:"hookKeyFile,omitempty"`
	// MaxLeases is how many credentials of Runs there may be at a time, of a backend
	// that makes them; the tenants have equal shares. 0: 256.
	MaxLeases    int                 `yaml:"maxLeases,omitempty"`
	Vault        *vaultkv.Config     `yaml:"vault,omitempty"`
	VaultDynamic *vaultlease.Config  `yaml:"vaultDynamic,omitempty"`
	AWS          *awssm.Config       `yaml:"awsSecretsManager,omitempty"`
	Azure        *azurekv.Config     `yaml:"azureKeyVault,omitempty"`
	Google       *gcpsm.Config       `yaml:"googleSecretManager,omitempty"`
	OnePassword  *onepassword.Config `yaml:"onePassword,omitempty"`
	Kubernetes   *kube.Config        `yaml:"kubernetes,omitempty"`
	Files        *local.Files        `yaml:"files,omitempty"`
	Environment  *local.Environment  `yaml:"environment,omitempty"`
}

// LoadBackends reads the file, which nobody but root and we may change. The error
// joins an [*Error] for everything that is wrong with its form; what the values mean
// is checked where they are used.
func LoadBackends(name string) (out Backends, err error) {
	b, err := backend.ReadConfig(name)
	if err != nil {
		return out, err
	}
	return backendsFrom(filepath.Base(name), b)
}

func backendsFrom(file string, b []byte) (out Backends, err error) {
	l := newLoader(Options{})
	docs := (&reader{report: l.report, file: file}).read(b)
	if len(docs) != 1 && len(l.errs) == 0 {
		l.addf(place{file: file}, "it is not one document")
	}
	if len(docs) == 1 {
		d := &decoder{report: l.report, places: places{}}
		d.decode(docs[0], reflect.ValueOf(&out).Elem(), "")
	}
	if err := l.err(); err != nil {
		return Backends{}, err
	}
	if len(out.Backends) == 0 {
		return out, fault.New(fault.Invalid, "the file on backends names none")
	}
	return out, nil
}
