package vault_test

import (
	"go/types"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// mayReturnBytes are the exported functions with bytes or text in a result, and
// why none of it is a Secret's value.
var mayReturnBytes = map[string]string{
	"(vault.Ref).String":           "a reference",
	"vault.Shape":                  "a word from a closed list",
	"(vault.Ref).Rule":             "a version's number",
	"(*vault.Vault).MAC":           "a keyed hash",
	"(*vault.Vault).Set":           "metadata",
	"(*vault.Vault).Rotate":        "metadata",
	"(*vault.Vault).Move":          "metadata",
	"(*vault.Vault).Activate":      "metadata",
	"(*vault.Vault).Disable":       "metadata",
	"(*vault.Vault).List":          "metadata",
	"(*vault.Vault).Show":          "metadata",
	"(*vault.Vault).Head":          "metadata",
	"(*vault.Vault).Seals":         "metadata",
	"(*vault.Vault).AskBackend":    "fixed sentences with addresses and names of files; backends repeat nothing that a server wrote",
	"(*vault.Vault).Said":          "short plain words of a system's, without what is known to be secret",
	"(*vault.Vault).BeginGrant":    "names, and the URL that a person opens",
	"(*vault.Vault).FinishGrant":   "names",
	"(*vault.Vault).ShowGrant":     "names",
	"oauthcred.Begin":              "the URL that a person opens; the verifier is opaque",
	"(*vault.Vault).Which":         "the id of a seal",
	"(*vault.Vault).AddSeal":       "metadata",
	"(*vault.Vault).AddRecovery":   "metadata",
	"(*vault.Vault).RenewSeal":     "metadata",
	"(*vault.Vault).RotateRoot":    "metadata",
	"(*vault.Vault).RotateProject": "metadata",
	"(*vault.Vault).RotateData":    "metadata",
	"(*vault.Vault).Keys":          "metadata",
	"(*vault.Vault).Ring":          "keys, encrypted",
	"(*vault.Vault).UnsealKey":     "a public key, and keys that are encrypted",
	"vault.Bring":                  "the root key, encrypted to a server",
	"vault.BringPassphrase":        "a passphrase, encrypted to a server",
	"kek.Public":                   "a public key; the tag key is opaque",
	"kek.Encrypt":                  "the root key, encrypted",
	"kek.NewRecovery":              "the half that a server is given",
	"kek.ParseRecoveryPublic":      "the half that a server is given",
	"(*kek.Recovery).Wrap":         "nothing: it refuses",
	"(*kek.Recovery).Kind":         "a kind",
	"vault.ParseRef":               "a reference",
	"(vault.Store).LastChanges":    "numbers",
	"(vault.Store).LoadVault":      "ciphertexts; implemented by the store",
	"(kek.Seal).Wrap":              "a seal's secret, encrypted",
	"(*kek.KeyFile).Wrap":          "a seal's secret, encrypted",
	"(*kek.Passphrase).Wrap":       "a seal's secret, encrypted",
	"(kek.Seal).Kind":              "a kind",
	"(*kek.KeyFile).Kind":          "a kind",
	"(*kek.Passphrase).Kind":       "a kind",
	"(*kek.Transit).Wrap":          "a ciphertext of the server's",
	"(*kek.Exec).Wrap":             "a ciphertext of the program's",
	"(*kek.Transit).Kind":          "a kind",
	"(*kek.Exec).Kind":             "a kind",
	"kek.ReadTransitConfig":        "names and paths",
	"kek.ReadExecConfig":           "names and paths",
	"(*vault.Vault).Rollback":      "metadata",
	"(*vault.Vault).Destroy":       "metadata",
	"(*vault.Vault).Describe":      "metadata",
	"(*vault.Vault).Quarantine":    "a name, made of a keyed hash",
	"(*vault.Vault).ChildTail":     "what a child wrote to its standard error, scrubbed",
	"(*proccred.Children).Tail":    "the same",
	"vault.Carried":                "names of Secrets, and a word for a part of a request",
	"(*httpcred.Carried).Names":    "names of Secrets",
	"(*httpcred.Carried).Part":     "one of three words",
	"(*httpcred.Carried).Error":    "one fixed sentence",
	"httpcred.Inject":              "what writes into a request; for the vault's own packages alone, which archtest holds",
	"(*vault.Vault).Promote":       "metadata",
	"(*vault.Vault).Backends":      "what is known of backends: names, times and reasons",
	"(*vault.Vault).Dismiss":       "metadata",
	"(vault.About).Text":           "a usage scope",
	"(vault.Secret).ActiveScope":   "metadata",
	"(*vault.Vault).IntakeKey":     "a public key and a nonce",
	"vault.NewBackup":              "a backup's header: metadata, and keys that are encrypted to the seals",
	"(vault.LeaseStore).Leases":    "names and ids; implemented by the store",
	"(*vault.Vault).Leases":        "names and ids of what was made for Runs",
	"(*vault.Vault).LeasesLeft":    "the same",
	"vault.ReadBackup":             "a backup's header; the database itself comes from an io.Reader, and Secrets are ciphertext in it too",
}

// No signature that another package can call gives out bytes or text, but for
// the list. What is opaque (an interface of the standard library, an error, a
// plain.Value, a scrub.Set) may be given out.
func TestNoExportedSignatureHandsPlaintextOut(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.LoadTypes},
		"sallyport.dev/internal/vault", "sallyport.dev/internal/vault/kek", "sallyport.dev/internal/vault/httpcred", "sallyport.dev/internal/vault/smtpcred", "sallyport.dev/internal/vault/oauthcred", "sallyport.dev/internal/vault/proccred")
	if err != nil || len(pkgs) != 6 {
		t.Fatalf("loading %d packages: %v", len(pkgs), err)
	}
	seen := map[string]bool{}
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			t.Fatal(p.Errors)
		}
		for name, sig := range exported(p.Types) {
			seen[name] = true
			for i := range sig.Results().Len() {
				if r := sig.Results().At(i); shows(r.Type(), map[types.Type]bool{}) && mayReturnBytes[name] == "" {
					t.Errorf("%s returns %s, which can hold plaintext: offer an interface of the standard library, or say on the list why not", name, r.Type())
				}
			}
		}
	}
	for name := range mayReturnBytes {
		if !seen[name] {
			t.Errorf("%s is on the list and does not exist", name)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d signatures were looked at", len(seen))
	}
}

// exported lists the functions and methods that another package can call.
func exported(p *types.Package) map[string]*types.Signature {
	out := map[string]*types.Signature{}
	short := func(q *types.Package) string { return q.Name() }
	for _, n := range p.Scope().Names() {
		obj := p.Scope().Lookup(n)
		if f, ok := obj.(*types.Func); ok && f.Exported() {
			out[p.Name()+"."+n] = f.Signature()
		}
		if _, ok := obj.(*types.TypeName); !ok {
			continue
		}
		// Methods of unexported types are reachable through what returns them.
		ms := types.NewMethodSet(types.NewPointer(obj.Type()))
		if types.IsInterface(obj.Type()) {
			ms = types.NewMethodSet(obj.Type())
		}
		for m := range ms.Methods() {
			f, ok := m.Obj().(*types.Func)
			if !ok || !f.Exported() || f.Pkg() != p || !obj.Exported() {
				continue
			}
			out["("+types.TypeString(f.Signature().Recv().Type(), short)+")."+f.Name()] = f.Signature()
		}
	}
	return out
}

// shows reports whether a value of the type can be made to show bytes or text
// that it holds, by who has it.
func shows(t types.Type, done map[types.Type]bool) bool {
	if done[t] {
		return false
	}
	done[t] = true
	if named, ok := types.Unalias(t).(*types.Named); ok {
		if o := named.Obj(); o.Pkg() != nil && (strings.HasSuffix(o.Pkg().Path(), "/vault/internal/plain") || strings.HasSuffix(o.Pkg().Path(), "/internal/scrub")) {
			return false // opaque by themselves
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&types.IsString != 0 || u.Kind() == types.Byte || u.Kind() == types.Uint8
	case *types.Slice:
		return shows(u.Elem(), done)
	case *types.Array:
		return shows(u.Elem(), done)
	case *types.Pointer:
		return shows(u.Elem(), done)
	case *types.Chan:
		return shows(u.Elem(), done)
	case *types.Map:
		return shows(u.Key(), done) || shows(u.Elem(), done)
	case *types.Signature:
		return showsTuple(u.Results(), done) || showsTuple(u.Params(), done)
	case *types.Struct:
		for f := range u.Fields() {
			if f.Exported() && shows(f.Type(), done) {
				return true
			}
		}
	case *types.Interface:
		return u.NumMethods() == 0 // any can be anything
	}
	return false
}

func showsTuple(v *types.Tuple, done map[types.Type]bool) bool {
	for i := range v.Len() {
		if shows(v.At(i).Type(), done) {
			return true
		}
	}
	return false
}
