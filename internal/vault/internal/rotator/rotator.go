// Package rotator changes a credential at the system that knows it: it has the
// system make a new one or tells it the value of one, tries it, and takes an old
// one away. It is inside the vault's box, since it holds the credentials of all of
// it; nothing of the steps' order or of what is recorded is in here.
//
// It refuses a redirect, an answer that is too long, that repeats a name, or in
// which the new value does not stand where the policy says; a database without TLS
// but on loopback; a user other than the two that take turns.
//
// # Security
//
// No error has a byte of what a system said: it may repeat the credential that gave
// the order. A password is in no statement: databases are told a verifier, which
// is computed here. A program gets credentials on its standard input, never as
// arguments or in its environment.
package rotator

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// Fields are one version's.
type Fields map[string]plain.Value

// Job is one step of a rotation.
type Job struct {
	Rotator  resource.Rotator
	Rotation string // the rotation's id, by which the system can know a step again
	Admin    Fields // gives the order
	Version  Fields // which the step is about: the one to tell of, to try, to take away
	Before   Fields // of the version that is replaced
	ID       string // the system's id of what the step is about; empty: none is known
	// Base is the way to a system that speaks HTTP, Dial to any other, and Program
	// one of the operator's, by its name.
	Base    http.RoundTripper
	Dial    func(ctx context.Context, address string, plain bool) (net.Conn, error)
	Program func(name string) (Program, bool)
	// Said hears what the system says that a version may do beyond what its user needs
	// to sign in: in a try. nil: nobody hears it.
	Said func(words []string)
}

// Made is what a system made. Who gets it wipes the values.
type Made struct {
	Fields Fields
	ID     string
}

// Rotator is one kind. Errors: Denied, the system said no, and nothing has changed;
// Unavailable, nothing was sent; Unknown, it may have happened; Invalid, it has
// happened, and what came of it can't be used.
type Rotator interface {
	// Create has the system make a credential, where the system chooses.
	Create(ctx context.Context, j Job) (Made, error)
	// Apply tells the system the value, where we choose. It can be repeated.
	Apply(ctx context.Context, j Job) error
	// Try signs in with it.
	Try(ctx context.Context, j Job) error
	// Delete takes it away at the system. It can be repeated.
	Delete(ctx context.Context, j Job) error
	// Find lists the ids of what the rotation has made at the system.
	Find(ctx context.Context, j Job) ([]string, error)
}

// For gives the rotator of a kind.
func For(k resource.RotatorKind) (Rotator, error) {
	switch k {
	case resource.RotatorHTTP:
		return httpRotator{}, nil
	case resource.RotatorRefresh:
		return refreshRotator{}, nil
	case resource.RotatorPostgres:
		return passwords{postgres{}}, nil
	case resource.RotatorMySQL:
		return passwords{mysqlServer{}}, nil
	case resource.RotatorExec:
		return execRotator{}, nil
	}
	return nil, fault.Newf(fault.Invalid, "there is no rotator %q", fault.Quote(string(k)))
}

// alphabet is what values are made of: no character that a shell, a URL or a
// connection string reads as something else.
const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"

// made is the length of a password that nobody chose another for: 186 bits.
const made = 32

// Generate makes a random value of n characters.
func Generate(n int) []byte {
	out := make([]byte, 0, n)
	var b [64]byte
	defer clear(b[:])
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			if int(c) < 256/len(alphabet)*len(alphabet) && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return out
}

// Next makes the fields of the next version, where we choose: the values that are
// generated, and all else as it was. The user is the other one where two take turns.
func Next(r resource.Rotator, before Fields) (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, v := range before {
		out[name] = append([]byte(nil), plain.Bytes(v)...)
	}
	switch r.Kind {
	case resource.RotatorPostgres, resource.RotatorMySQL:
		out["password"] = Generate(made)
		if len(r.SQL.Users) == 0 {
			return out, nil
		}
		for i, u := range r.SQL.Users {
			if u == string(out[userField]) {
				out[userField] = []byte(r.SQL.Users[1-i])
				return out, nil
			}
		}
		return nil, fault.New(fault.Invalid, "the version's user is none of the two that take turns").
			WithHint("store a version whose username is one of them first")
	case resource.RotatorExec:
		for name, n := range r.Exec.Generate {
			out[name] = Generate(n)
		}
		return out, nil
	case resource.RotatorHTTP, resource.RotatorRefresh:
	}
	return nil, fault.New(fault.Internal, "a value is made for a system that chooses it")
}

// userField is the user's name, or a client's id: no secret by itself.
const userField = "username"

// text is a field as a string, which a library needs.
func text(f Fields, name string) string { return string(plain.Bytes(f[name])) }
