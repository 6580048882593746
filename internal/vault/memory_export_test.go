package vault

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// Masked is bytes to search for in the memory of the very process that knows
// them: kept as two random strings, of which neither is a copy.
type Masked struct {
	Name   string // of what it is
	Form   string // "raw", or how it is written
	Masked []byte
	Mask   []byte
}

// Mask hides b, and the forms in which a key is found that somebody used: with
// the pads of HMAC, and with its words turned round.
func Mask(name string, b []byte) []Masked {
	raw := Masked{Name: name, Form: "raw", Masked: make([]byte, len(b)), Mask: make([]byte, len(b))}
	_, _ = rand.Read(raw.Mask) // never fails
	for i := range b {
		raw.Masked[i] = b[i] ^ raw.Mask[i]
	}
	out := []Masked{raw, raw.padded("HMAC's inner pad", 0x36), raw.padded("HMAC's outer pad", 0x5c)}
	if len(b)%4 == 0 {
		out = append(out, raw.turned())
	}
	return out
}

// MaskText hides the base64 of b.
func MaskText(name string, b []byte) []Masked {
	text := []byte(base64.RawStdEncoding.EncodeToString(b))
	defer clear(text)
	m := Mask(name, text)[0]
	m.Form = "base64"
	return []Masked{m}
}

func (m Masked) padded(form string, pad byte) Masked {
	out := Masked{Name: m.Name, Form: form, Masked: make([]byte, len(m.Masked)), Mask: m.Mask}
	for i, b := range m.Masked {
		out.Masked[i] = b ^ pad
	}
	return out
}

func (m Masked) turned() Masked {
	turn := func(b []byte) []byte {
		out := make([]byte, len(b))
		for i := range b {
			out[i] = b[i&^3+3-i&3]
		}
		return out
	}
	return Masked{Name: m.Name, Form: "words turned round", Masked: turn(m.Masked), Mask: turn(m.Mask)}
}

// HeldKeys are the keys of an unsealed vault: the secret of its one seal, the root
// key, the derivation key, every project key and every data key. It exists in this
// test's binary alone.
func HeldKeys(v *Vault, seal kek.Seal) (out []Masked, err error) {
	keep := func(name string, k []byte) {
		kept := Mask(name, k)
		for i := range kept { // out of what Do allocated, which is erased
			kept[i].Masked, kept[i].Mask = append([]byte(nil), kept[i].Masked...), append([]byte(nil), kept[i].Mask...)
		}
		out = append(out, kept...)
	}
	if err := v.withRoot(func(root []byte) error { keep("root key", root); return nil }); err != nil {
		return nil, err
	}
	plain.Use(v.derive.Load(), func(k []byte) { plain.Do(func() { keep("derivation key", k) }) })
	s := v.state.Load()
	secret, err := seal.Unwrap(context.Background(), secretAAD(s.root.Vault, s.seals[0].ID), s.seals[0].Sealed)
	if err != nil {
		return nil, err
	}
	plain.Do(func() { keep("seal", plain.Bytes(secret)) })
	plain.Wipe(secret)
	for _, ten := range v.state.Load().tenants {
		for _, p := range ten.projects {
			project, err := v.projectKey(p)
			if err != nil {
				return nil, err
			}
			keep("project key", plain.Bytes(project))
			for _, e := range ten.secrets {
				for _, ver := range e.head.Versions {
					aad, err := keyAAD(p.Tenant, &e.head, ver)
					if err != nil {
						return nil, err
					}
					data, err := box.Open(plain.Bytes(project), aad, e.keys[ver.Version].Key)
					if err != nil {
						return nil, err
					}
					keep("data key", plain.Bytes(data))
					plain.Wipe(data)
				}
			}
			plain.Wipe(project)
		}
	}
	return out, nil
}

// CopyOfRoot plants a copy of the root key, for the control.
func CopyOfRoot(v *Vault) (out []byte, err error) {
	out = make([]byte, box.KeySize)
	err = v.withRoot(func(root []byte) error { copy(out, root); return nil })
	return out, err
}

// Erases reports whether plain.Do erases in this build.
const Erases = plain.Erases
