package vault

import (
	"context"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// A value is replaced wherever it is met from the moment it is stored. One that
// stands in traffic that was recorded before is no secret any more for whoever
// could read that; and it may be none at all: an account's number, stored to blank
// it out of the pages on which people decide. So it is refused, unless the caller
// says that it is meant.

// Recorded looks through what a tenant's traffic has left in the store, the newest
// first. It calls contains with each text, and sees nothing of the value.
type Recorded func(ctx context.Context, t ident.Tenant, contains func(text []byte) bool) (Trace, error)

// Trace says where a value stands.
type Trace struct {
	Places []string // at most MaxPlaces, like "the Run run_…, observation 12"
	Partly bool     // there was more than could be looked through
}

// MaxPlaces is how many places a Trace names.
const MaxPlaces = 3

// traced looks for w's value, its parts and what is derived of it, in any
// encoding. The vault's lock is not held: it may take a second. Invalid: the value
// stands there, and w doesn't say that it is meant.
func (v *Vault) traced(ctx context.Context, w *Write) (Trace, error) {
	if v.cfg.Recorded == nil {
		return Trace{}, nil
	}
	if v.Sealed() {
		return Trace{}, errSealed
	}
	set, err := w.own()
	if err != nil || set.Len() == 0 { // a user name alone is no secret
		return Trace{}, err
	}
	found, err := v.cfg.Recorded(ctx, w.Tenant, func(b []byte) bool {
		// What can't be searched has another name: it must not keep values out.
		return slices.ContainsFunc(set.Contains(b), func(name string) bool { return name == newValue || name == "secret" })
	})
	if err != nil {
		// Whatever the error quotes, the new value is not in it.
		return Trace{}, fault.Wrap(fault.KindOf(err), "looking for the value in what was recorded, so nothing was stored", set.Error(err))
	}
	for i, p := range found.Places { // a resource may be named like the value
		found.Places[i], _ = set.String(p)
	}
	if len(found.Places) == 0 || w.AlthoughRecorded {
		return found, nil
	}
	return Trace{}, fault.Newf(fault.Invalid, "the value stands in what was recorded: %s", strings.Join(found.Places, "; ")).
		WithHint("whoever could read that has seen it: make a new value at the system, and store that one; " +
			"or, where the value is meant all the same, say so: --although-recorded, althoughRecorded in the API, the box on the page")
}

// newValue is the name of a value that has none yet; the set calls it "secret"
// where the name would give it away.
const newValue = "new-value"

// own is a set of what scrubbing would look for because of w.
func (w *Write) own() (*scrub.Set, error) {
	fields := make(map[string]plain.Value, len(w.Fields))
	for name, value := range w.Fields {
		fields[name] = plain.New(value)
	}
	list := derive(newValue, fields)
	defer func() {
		for _, s := range list {
			clear(s.Value)
		}
	}()
	return scrub.Build(list)
}

// fields are a trace's in the entry of the version that was stored.
func (t Trace) fields(w *Write) map[string]any {
	f := map[string]any{}
	if w.AlthoughRecorded {
		f["recorded"] = true
	}
	if t.Partly {
		f["partly"] = true
	}
	if len(t.Places) > 0 {
		f["why"] = "it stands in " + strings.Join(t.Places, "; ")
	}
	return f
}
