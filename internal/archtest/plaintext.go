package archtest

import (
	"go/types"
	"strings"
)

// vaultAPI are the packages whose exported signatures are checked: the vault as
// others see it.
var vaultAPI = []string{"internal/vault", "internal/vault/httpcred", "internal/vault/smtpcred", "internal/vault/proccred", "internal/vault/kek",
	"internal/vault/backend", "internal/vault/backend/vaultkv", "internal/vault/backend/vaultlease", "internal/vault/backend/awssm", "internal/vault/backend/azurekv",
	"internal/vault/backend/gcpsm", "internal/vault/backend/onepassword", "internal/vault/backend/kube", "internal/vault/backend/local"}

// Export is one place of an exported signature that bytes or text come out of.
type Export struct {
	Name string // "vault.Vault.MAC", "vault.Meta.Name", "vault.Purpose"
	Type string
}

// exports lists every result, field, variable, and parameter of a callback of
// an exported signature that could carry plaintext: bytes, text, readers, and
// interfaces that could hold them.
//
// A type that the vault's packages declare is looked into where it is declared,
// and types of other packages (an id, a time, a RoundTripper) count as what
// their names say, except for those that are bytes or readers by trade.
func exports(p *types.Package) []Export {
	x := &exporter{pkg: p}
	scope := p.Scope()
	for _, name := range scope.Names() {
		switch o := scope.Lookup(name).(type) {
		case *types.Func:
			if o.Exported() {
				x.results(p.Name()+"."+name, o.Signature())
			}
		case *types.Var:
			if o.Exported() {
				x.value(p.Name()+"."+name, o.Type())
			}
		case *types.TypeName:
			// A type that is not exported is looked at too: an exported function
			// can return it, and then its exported methods are in reach.
			x.declared(p.Name()+"."+name, o)
		}
	}
	return x.found
}

type exporter struct {
	pkg   *types.Package
	found []Export
}

// add notes a finding once.
func (x *exporter) add(name string, t types.Type) {
	short := types.TypeString(t, func(p *types.Package) string { return p.Name() })
	for _, e := range x.found {
		if e.Name == name {
			return
		}
	}
	x.found = append(x.found, Export{name, short})
}

// value adds name if a value of type t, given to a caller, could be plaintext.
func (x *exporter) value(name string, t types.Type) {
	if carries(x.pkg, t) {
		x.add(name, t)
	}
}

// results looks at what a call gives: its results, and what a callback among its
// parameters is given.
func (x *exporter) results(name string, sig *types.Signature) {
	for v := range sig.Results().Variables() {
		x.value(name, v.Type())
	}
	for v := range sig.Params().Variables() {
		if callback, ok := v.Type().Underlying().(*types.Signature); ok {
			x.given(name, callback)
		}
	}
}

// given looks at what the vault passes to somebody else's function.
func (x *exporter) given(name string, sig *types.Signature) {
	for v := range sig.Params().Variables() {
		x.value(name, v.Type())
	}
}

// declared looks at a type: its fields, methods, and what it is made of.
func (x *exporter) declared(name string, o *types.TypeName) {
	t := o.Type()
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for f := range u.Fields() {
			if f.Exported() && o.Exported() {
				x.field(name+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		// Others implement it, and are given what its methods take.
		for m := range u.Methods() {
			if o.Exported() && m.Exported() {
				x.results(name+"."+m.Name(), m.Signature())
				x.given(name+"."+m.Name(), m.Signature())
			}
		}
		return
	default:
		if o.Exported() && carries(x.pkg, u) {
			x.add(name, u)
		}
	}
	if n, ok := t.(*types.Named); ok {
		for m := range n.Methods() {
			if m.Exported() && !opaqueMethod(m) {
				x.results(name+"."+m.Name(), m.Signature())
			}
		}
	}
}

// field looks at a field: its value, or what it is called with.
func (x *exporter) field(name string, t types.Type) {
	if callback, ok := t.Underlying().(*types.Signature); ok {
		x.given(name, callback)
		return
	}
	x.value(name, t)
}

// opaqueMethod reports whether m is an Error method: what errors say is looked
// at by the tests with canary secrets, as it is everywhere.
func opaqueMethod(m *types.Func) bool { return m.Name() == "Error" }

// carries reports whether a value of type t could carry plaintext. Types that
// the vault's packages declare are looked into at their declaration.
func carries(own *types.Package, t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		obj := t.Obj()
		if obj.Pkg() == nil {
			return false // error
		}
		full := obj.Pkg().Path() + "." + obj.Name()
		if obj.Pkg() == own || strings.Contains(obj.Pkg().Path()+"/", "/internal/vault/") {
			// One that can't be named outside would escape the look at what is
			// declared; plain.Value is plaintext, however opaque.
			return !obj.Exported() || strings.HasSuffix(obj.Pkg().Path(), "/internal/plain")
		}
		return carriersByTrade[full]
	case *types.Basic:
		return t.Info()&types.IsString != 0 || t.Kind() == types.UnsafePointer || t.Kind() == types.Uint8
	case *types.Slice:
		return carries(own, t.Elem())
	case *types.Array:
		return carries(own, t.Elem())
	case *types.Pointer:
		return carries(own, t.Elem())
	case *types.Chan:
		return carries(own, t.Elem())
	case *types.Map:
		return carries(own, t.Key()) || carries(own, t.Elem())
	case *types.Interface:
		return t.NumMethods() == 0 // any: could be everything
	case *types.Signature:
		for v := range t.Results().Variables() {
			if carries(own, v.Type()) {
				return true
			}
		}
		return false
	case *types.Struct, *types.TypeParam, *types.Tuple:
		return true // without a name or unknown: somebody has to look
	}
	return false
}

// carriersByTrade are other packages' types that hold bytes or text of any kind.
var carriersByTrade = map[string]bool{
	"bytes.Buffer": true, "bytes.Reader": true, "strings.Builder": true, "strings.Reader": true,
	"bufio.Reader": true, "io.Reader": true, "io.ReadCloser": true, "io.ReadSeeker": true,
	"io.ReaderAt": true, "io.WriterTo": true, "fmt.Stringer": true, "encoding.TextMarshaler": true,
	"encoding/json.RawMessage": true, "encoding/json.Marshaler": true,
	"net/url.URL": true, "net/url.Userinfo": true, "net/http.Header": true, "net/http.Request": true,
	"crypto/ed25519.PrivateKey": true, "crypto.PrivateKey": true, "crypto/tls.Certificate": true,
	"iter.Seq": true, "iter.Seq2": true,
}
