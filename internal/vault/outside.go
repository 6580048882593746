package vault

import (
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// grace is how long a value from a backend is scrubbed for after it was replaced
// or forgotten: it may still work, and be in answers that are on their way.
const grace = 24 * time.Hour

// maxPast is how many replaced values of one version are known at once. A backend
// that gives another value to every question would fill the memory.
const maxPast = 200

// asking is how long a backend has for an answer.
const asking = 10 * time.Second

// patience is how long a use waits for an answer while it has a value that is not
// too old.
const patience = time.Second

// After a failure nobody asks for so long: a thousand uses would find a backend
// that is down a thousand times.
const (
	pause    = time.Second
	maxPause = time.Minute // that a backend can ask for
)

// place names a version. It is of one pointer, for good.
type place struct {
	tenant  ident.Tenant
	secret  string // its id
	version int
	run     string // whose own value it is; empty: it is everybody's
}

// outside is what was fetched from backends. It is in memory alone.
type outside struct {
	mu     sync.Mutex
	places map[place]*fetched
	values []*value // to be scrubbed for, the current ones included
	heard  map[hearer]heard
	gone   int // values that were let go of since the sets were built
}

// fetched is what is known of one version.
type fetched struct {
	value   *value // nil: nothing yet, or forgotten
	at      time.Time
	version string    // as the backend calls it
	end     time.Time // of the value by itself; zero: none
	flight  *flight   // the question under way, or nil
	failure error     // of the last question
	again   time.Time // before then there is no other

	// Questions are counted, so that one that began before a change is none about it.
	begun int      // the last one's number
	got   int      // the number of the one that gave the value
	want  int      // what an earlier one gave is asked for again
	hook  int      // the same, by a message: not within hookRest
	names []string // what the backend called versions that had this value; the last maxNames
	idle  time.Time
}

// maxNames is how many names of one value are known.
const maxNames = 32

// value is one value. It is never changed, and wiped when it is let go of.
type value struct {
	place  place
	name   string // of the Secret
	packed plain.Value
	until  time.Time // that it is scrubbed for; zero: it is current
}

// flight is a question that any number of uses wait for.
type flight struct {
	n    int // its number
	done chan struct{}
	err  error
}

// lent is a copy of what was fetched. Who has it wipes packed.
type lent struct {
	packed  plain.Value
	fields  map[string]plain.Value
	version string
}

// at finds what is known of a version. The lock is held.
func (o *outside) at(p place) *fetched {
	if o.places == nil {
		o.places = map[place]*fetched{}
	}
	if o.places[p] == nil {
		o.places[p] = &fetched{}
	}
	return o.places[p]
}

// within reports whether the value may be used at an age.
func (f *fetched) within(age time.Duration, now time.Time) bool {
	return f.value != nil && now.Sub(f.at) < age && (f.end.IsZero() || now.Before(f.end))
}

// fresh reports whether the value may be used without a question, by who takes no
// answer to an earlier one than need.
func (f *fetched) fresh(p *Pointer, need int, now time.Time) bool {
	return f.within(p.fresh(), now) && f.got >= need && (f.got >= f.hook || now.Sub(f.at) < hookRest)
}

// named notes what the backend calls the value.
func (f *fetched) named(version string) {
	if !slices.Contains(f.names, version) {
		f.names = append(f.names[max(0, len(f.names)+1-maxNames):], version)
	}
}

// lend copies the value.
func (f *fetched) lend() (lent, error) {
	packed := plain.New(slices.Clone(plain.Bytes(f.value.packed)))
	fields, err := unpack(packed)
	return lent{packed, fields, f.version}, err
}

// bridges reports whether a value that is not too old may be used in spite of the
// error: what the backend said is not that it ended.
func bridges(err error) bool {
	switch backend.ReasonOf(err) {
	case backend.Missing, backend.Refused, backend.Taken:
		return false
	case backend.Throttled, backend.Away, backend.Behind, backend.Wrong:
	}
	return !fault.Is(err, fault.Internal)
}

// retire ends a value: it is scrubbed for a while longer. The lock is held.
func (f *fetched) retire(now time.Time) {
	if f.value != nil {
		f.value.until = now.Add(grace)
	}
	f.value, f.at, f.version, f.end, f.names = nil, time.Time{}, "", time.Time{}, nil
}

// retire ends a value that is in no place: it is scrubbed for a while longer.
func (o *outside) retire(val *value, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if val != nil && val.until.IsZero() {
		val.until = now.Add(grace)
	}
}

// forget ends what was fetched for versions that nobody can use any more.
func (o *outside) forget(t ident.Tenant, secret string, now time.Time, gone func(version int) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, f := range o.places {
		if p.tenant == t && p.secret == secret && gone(p.version) {
			f.retire(now)
		}
	}
}

// end is for a vault that is sealed: no value is used any more.
func (o *outside) end(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.places {
		f.retire(now)
	}
}

// hold takes up a value to be scrubbed for. Unavailable: there are too many.
func (o *outside) hold(v *value, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prune(now)
	n := 0
	for _, other := range o.values {
		if other.place == v.place {
			n++
		}
	}
	if n > maxPast {
		return backend.Fail(backend.Wrong, "the backend gives another value each time it is asked")
	}
	o.values = append(o.values, v)
	return nil
}

// drop lets go of a value that hold took up and that is not used.
func (o *outside) drop(v *value) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.values = slices.DeleteFunc(o.values, func(other *value) bool { return other == v })
	plain.Wipe(v.packed)
}

// prune lets go of what nobody has to look for any more. The lock is held.
func (o *outside) prune(now time.Time) {
	o.values = slices.DeleteFunc(o.values, func(v *value) bool {
		past := !v.until.IsZero() && !now.Before(v.until)
		if past {
			o.gone++
			plain.Wipe(v.packed)
		}
		return past
	})
}

// maxGone is how many values the sets know in vain before they are built anew.
const maxGone = 64

// full reports whether the sets know many values that nobody has to look for.
func (o *outside) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone > maxGone
}

// known lists what to scrub for of a tenant's values.
func (o *outside) known(t ident.Tenant, now time.Time) (out []scrub.Secret) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prune(now)
	o.gone = 0
	for _, v := range o.values {
		if v.place.tenant != t {
			continue
		}
		if fields, err := unpack(v.packed); err == nil {
			out = append(out, derive(v.name, fields)...)
		}
	}
	return out
}
