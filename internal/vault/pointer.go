package vault

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// Pointer says where a version's value is, when it is not in our store. It is
// part of the version as a usage scope is: it is never changed, it is in the
// associated data of the version's key, and what that key encrypts is the pointer
// itself. Who can write the database can't send a reference anywhere else.
type Pointer struct {
	Backend string `json:"backend"` // its name in the server's file
	Path    string `json:"path"`
	// Version is what the backend calls a version; empty: the newest at each use.
	Version string `json:"version,omitempty"`
	// Fields are by our names; each is the backend's name for it. Empty: all of what
	// is at the path.
	Fields map[string]string `json:"fields"`
	// Staleness is how old a value may be when it is used: the longest that a
	// rotation there can go unnoticed, and that an outage there is bridged. Zero:
	// every use asks.
	Staleness resource.Duration `json:"staleness,omitempty"`
}

// Bounds of a pointer.
const (
	maxStaleness = 24 * time.Hour
	maxTheirs    = 128 // bytes of a field's name at the backend
)

// pointerField is the field in which a pointer is encrypted.
const pointerField = "pointer"

// text is its one form.
func (p *Pointer) text() ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fault.New(fault.Internal, "encoding a pointer")
	}
	return b, nil
}

// parts are what a pointer adds to associated data; none for a value.
func (p *Pointer) parts() ([]string, error) {
	if p == nil {
		return nil, nil
	}
	b, err := p.text()
	return []string{"pointer", sum(b)}, err
}

// sealed is what is encrypted of a pointer.
func (p *Pointer) sealed() (map[string][]byte, error) {
	b, err := p.text()
	return map[string][]byte{pointerField: b}, err
}

// is reports whether what was decrypted is this pointer.
func (p *Pointer) is(fields map[string]plain.Value) bool {
	b, err := p.text()
	return err == nil && len(fields) == 1 && string(plain.Bytes(fields[pointerField])) == string(b)
}

func (p *Pointer) clone() *Pointer {
	c := *p
	c.Fields = maps.Clone(p.Fields)
	return &c
}

func (p *Pointer) ask() backend.Ask { return backend.Ask{Path: p.Path, Version: p.Version} }

// names are the fields, by our names.
func (p *Pointer) names() []string { return slices.Sorted(maps.Keys(p.Fields)) }

// check refuses what can't be a pointer. Invalid.
func (p *Pointer) check() error {
	if err := ident.CheckName(p.Backend); err != nil {
		return fault.Wrap(fault.Invalid, "the pointer's backend", err)
	}
	if err := backend.CheckPath(p.Path); err != nil {
		return err
	}
	if err := backend.CheckVersion(p.Version); err != nil {
		return err
	}
	if len(p.Fields) == 0 || len(p.Fields) > maxFields {
		return fault.Newf(fault.Invalid, "a pointer has from 1 to %d fields", maxFields)
	}
	for ours, theirs := range p.Fields {
		if ours == "" || len(ours) > maxField || strings.ContainsFunc(ours, notFieldName) {
			return fault.New(fault.Invalid, "a field's name has lower-case letters, digits and underscores only, at most 32")
		}
		if len(theirs) > maxTheirs || strings.ContainsFunc(theirs, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fault.New(fault.Invalid, "a field's name at the backend is printable ASCII, at most 128 bytes")
		}
	}
	if s := p.Staleness.D(0); s < 0 || s > maxStaleness || s%time.Second != 0 {
		return fault.Newf(fault.Invalid, "a pointer's staleness is from 0s to %s, in whole seconds", maxStaleness)
	}
	return nil
}

// fresh is how long a value is used without a question: a part of its staleness,
// so that the rest is there to bridge an outage.
func (p *Pointer) fresh() time.Duration { return min(p.Staleness.D(0)/4, time.Minute) }
