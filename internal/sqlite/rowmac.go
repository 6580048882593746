package sqlite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/bits"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// Keys is what the store needs of the vault: keyed hashes of 32 bytes that stay
// the same for ever. Unavailable while the vault is sealed; then no row that
// steers is read or written.
// Scrub is what a row's key goes through before it is shown: who writes the file
// chooses it.
type Keys interface {
	MAC(p vault.Purpose, t ident.Tenant, parts ...string) ([]byte, error)
	Scrub(t ident.Tenant) *scrub.Set
}

// Guard is what the rows that steer are guarded with. All of it is needed.
type Guard struct {
	Keys Keys
	Now  func() time.Time // of what the store records by itself
	Log  *slog.Logger     // told of each refused row, besides the audit log
	// AcceptClock lets the audit log go on at a time before its last entry's, which
	// is on the record: the clock was ahead, and is right now.
	AcceptClock bool
}

// What a keyed hash of this package is for: the first part of each.
const (
	macRow     = "row"      // a row's mac
	macLoose   = "row sum"  // of a row without its loose columns
	macRefused = "refused"  // instead of a row's mac: it was found to be somebody else's
	macSums    = "sums"     // of a tenant's sums, with the audit log's head that they belong to
	macKey     = "sums key" // the key of the parts of sums
)

// sum is a sum of rows' parts: a number modulo 2^256, then how many rows there are,
// both with the highest byte first. No row takes another one's part away, or its
// own when it is there twice.
type sum [sumSize]byte

const sumSize = sha256.Size + 8 // bytes

// add adds a part to a sum.
func (s *sum) add(o sum) { s.combine(o, bits.Add64) }

// sub takes a part away again.
func (s *sum) sub(o sum) { s.combine(o, bits.Sub64) }

func (s *sum) combine(o sum, with func(x, y, carry uint64) (uint64, uint64)) {
	var carry uint64
	for at := sha256.Size; at > 0; at -= 8 {
		var n uint64
		n, carry = with(binary.BigEndian.Uint64(s[at-8:at]), binary.BigEndian.Uint64(o[at-8:at]), carry)
		binary.BigEndian.PutUint64(s[at-8:at], n)
	}
	n, _ := with(binary.BigEndian.Uint64(s[sha256.Size:]), binary.BigEndian.Uint64(o[sha256.Size:]), 0)
	binary.BigEndian.PutUint64(s[sha256.Size:], n)
}

// hide covers a sum with a pad, or uncovers it again.
func (s *sum) hide(pad sum) {
	for i := range s {
		s[i] ^= pad[i]
	}
}

// known is what the process knows of a row that is live.
type known struct {
	mac   []byte
	share sum    // its part of its table's sum
	of    string // what it belongs to, see table.of
	why   string // why it is refused, or ""
}

// mac makes the MAC of a row.
func (s *Store) mac(r *row, purpose string) ([]byte, error) {
	return s.guard.Keys.MAC(vault.RowMAC, r.tenant(), r.parts(purpose)...)
}

// print is a row's fingerprint: what the audit log and the sums have of it. It has
// no loose columns; where there are none, it is the MAC.
func (s *Store) print(r *row) ([]byte, error) {
	if len(r.tb.loose) == 0 {
		return s.mac(r, macRow)
	}
	return s.mac(r.without(r.tb.loose), macLoose)
}

// share is a row's part of its table's sum, under the tenant's key.
func share(key []byte, id rowID, print []byte) (out sum) {
	m := hmac.New(sha256.New, key)
	for _, part := range []string{id.table.name, id.key, string(print)} {
		_, _ = m.Write([]byte{byte(len(part) >> 8), byte(len(part))}) // keys are short: a name, or two ids
		_, _ = m.Write([]byte(part))
	}
	m.Sum(out[:0])
	out[sumSize-1] = 1 // it is one row
	return out
}

// refusal is a row that is not the one that was written last.
type refusal struct {
	id        rowID
	name, why string
}

// Error names the row, never a value of it.
func (r *refusal) Error() string {
	return "the row " + r.id.table.name + " " + fault.Quote(r.name) + " is refused: " + r.why
}

func (s *Store) refusal(id rowID, why string) *refusal {
	name := "*" // the table as a whole
	if id.key != "" {
		name, _ = s.guard.Keys.Scrub(id.tenant).String(id.key)
	}
	return &refusal{id, audit.Short(name), why}
}

func (s *Store) refuse(id rowID, why string) error {
	return fault.Wrap(fault.Denied, "reading what is stored", s.refusal(id, why))
}

// Why a row is refused.
const (
	whyForged  = "it was changed, or put in, by somebody without the key"
	whyTwice   = "it is there twice"
	whyOld     = "an old row of it was put back"
	whyNotLast = "it was put in, or an old row of it was put back, after it had ended"
	whyRemoved = "its row was removed"
	whyTeam    = "the Team and its members are not those that were written last"
	whyEarlier = "it was found to be somebody else's at an earlier start"
	whyDamaged = "the resources are not the set that was applied last"
	whyUses    = "what was used of rates and budgets was lost, so it can't be counted"
	whySome    = "rows of this table were removed or put back, and which ones can't be told"
)

// event is a refusal's audit entry.
func (s *Store) refused(r *refusal) audit.Event {
	return audit.Event{Type: audit.RowRefused, Tenant: r.id.tenant, At: s.guard.Now(), Actor: "system:store",
		Fields: map[string]any{"kind": r.id.table.name, "name": r.name, "why": r.why}}
}

// notLoaded says that what a tenant's rows have to be is not known yet.
type notLoaded struct{ tenant ident.Tenant }

func (*notLoaded) Error() string { return "the tenant's rows are not known yet" }

// doubtful says whether a read has to be repeated by the writer: a reader can
// see a row an instant before the process knows that it was committed, or after
// it was replaced.
func doubtful(err error) bool {
	_, unknown := errors.AsType[*notLoaded](err)
	_, refused := errors.AsType[*refusal](err)
	return unknown || refused
}

// judge compares a row that was read with what is known of it.
func (s *Store) judge(r *row, k known, ok bool) error {
	mac, err := s.mac(r, macRow)
	if err != nil {
		return err
	}
	switch {
	case ok && k.why != "":
		return s.refuse(r.id(), k.why)
	case !hmac.Equal(mac, r.mac):
		return s.refuse(r.id(), whyForged)
	case ok && !hmac.Equal(k.mac, r.mac):
		return s.refuse(r.id(), whyOld)
	case !ok && r.alive():
		return s.refuse(r.id(), whyNotLast)
	}
	return nil
}

// of is what the row belongs to.
func (r *row) of() string {
	if r.tb.of == nil {
		return ""
	}
	return r.tb.of(r)
}

func (r *row) alive() bool { return r.tb.live == nil || r.tb.live(r) }

// learn makes what is known of a row that is about to be stored, and its mac.
func (s *Store) learn(r *row, key []byte) (known, error) {
	var err error
	if r.mac, err = s.mac(r, macRow); err != nil {
		return known{}, err
	}
	print := r.mac
	if len(r.tb.loose) > 0 {
		if print, err = s.print(r); err != nil {
			return known{}, err
		}
	}
	return known{mac: slices.Clone(r.mac), share: share(key, r.id(), print), of: r.of()}, nil
}
