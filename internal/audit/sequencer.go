package audit

import (
	"bytes"
	"crypto"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// KeyFunc gives a generation of a tenant's log signing key, an Ed25519 one; the
// first is 0. It errors while the vault is sealed; then nothing can be appended.
type KeyFunc func(t ident.Tenant, generation int64) (crypto.Signer, error)

// Head is the stored end of a log. The zero Head is that of a log which does
// not exist yet.
type Head struct {
	Size       int64  // entries
	Checkpoint []byte // the signed note over Size and the root
	Verifier   string // the note verifier key, as it is published
	Generation int64  // of the key
	At         int64  // of the latest entry, milliseconds since 1970
}

// same says whether two heads are one.
func (h Head) same(o Head) bool {
	return h.Size == o.Size && h.Verifier == o.Verifier && h.Generation == o.Generation && h.At == o.At && bytes.Equal(h.Checkpoint, o.Checkpoint)
}

// Tx is what the Sequencer needs of a store's transaction, in which nobody else
// appends. A method's error makes the transaction fail.
type Tx interface {
	// Head reads a log's head; the zero Head where there is none.
	Head(ident.Tenant) (Head, error)
	// Hashes reads stored hashes, by tlog's stored-hash index, in order:
	// NotFound when one is missing, Internal when one is no hash.
	Hashes(t ident.Tenant, indexes []int64) ([]tlog.Hash, error)
	// Insert adds rows, and hashes from index firstHash on.
	Insert(t ident.Tenant, rows []Row, firstHash int64, hashes []tlog.Hash) error
	// SetHead replaces a head whose size was prev, or errors.
	SetHead(t ident.Tenant, prev int64, h Head) error
}

// Sequencer appends to the logs of one store. It keeps each log's right edge in
// memory, so that an append reads no hash; what it keeps is compared with the
// stored head once a transaction, and is read from the store, and checked
// against the signature, after a restart.
type Sequencer struct {
	host string
	keys KeyFunc

	mu       sync.Mutex
	logs     map[ident.Tenant]logState // as of the last transaction that committed
	diverged error                     // set once; see ErrDiverged
}

// logState is the end of one log and what it takes to go on.
type logState struct {
	signer *signer
	head   Head
	edge   edge
}

// NewSequencer makes one. host is the first part of each log's origin line; ""
// is [DefaultHost].
func NewSequencer(host string, keys KeyFunc) (*Sequencer, error) {
	if host == "" {
		host = DefaultHost
	}
	if err := checkHost(host); err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, fault.New(fault.Internal, "an audit log without a signing key")
	}
	return &Sequencer{host: host, keys: keys, logs: map[ident.Tenant]logState{}}, nil
}

// Begin opens a batch in a transaction of the store. Batches do not overlap.
func (s *Sequencer) Begin(tx Tx) *Batch {
	return &Batch{seq: s, tx: tx, tails: map[ident.Tenant]*tail{}}
}

// Err is ErrDiverged, with what was found, once a log diverged; else nil.
func (s *Sequencer) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.diverged
}

// diverge remembers that a log is not the one that was signed.
func (s *Sequencer) diverge(t ident.Tenant, what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.diverged == nil {
		s.diverged = fault.Wrap(fault.Unavailable, fmt.Sprintf("the log of tenant %s: %s", t, what), ErrDiverged)
	}
	return s.diverged
}

// state is the log's end, as the transaction sees it.
func (s *Sequencer) state(tx Tx, t ident.Tenant) (logState, error) {
	if err := s.Err(); err != nil {
		return logState{}, err
	}
	stored, err := tx.Head(t)
	if err != nil {
		return logState{}, err
	}
	s.mu.Lock()
	known, ok := s.logs[t]
	s.mu.Unlock()
	if !ok {
		return s.load(tx, t, stored)
	}
	if !stored.same(known.head) {
		return logState{}, s.diverge(t, "its head was changed by somebody else")
	}
	return known, nil
}

// load takes up a log that this process has not written yet.
func (s *Sequencer) load(tx Tx, t ident.Tenant, stored Head) (logState, error) {
	if err := ident.CheckName(string(t)); err != nil {
		return logState{}, fault.Wrap(fault.Invalid, "naming the audit log's tenant", err)
	}
	sg, err := s.signer(t, stored)
	if err != nil {
		return logState{}, err
	}
	if stored.Size == 0 && len(stored.Checkpoint) == 0 {
		return s.begin(tx, t, sg)
	}
	if stored.Verifier != sg.verifier {
		return logState{}, s.diverge(t, "its verifier key is not this server's")
	}
	cp, err := OpenCheckpoint(stored.Checkpoint, sg.verifier)
	if err != nil || cp.Size != stored.Size {
		return logState{}, s.diverge(t, "its checkpoint is not one that this server signed")
	}
	hashes, err := tx.Hashes(t, edgeIndexes(stored.Size))
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Internal) {
		return logState{}, s.diverge(t, "hashes on the right edge of its tree are missing")
	}
	if err != nil {
		return logState{}, err
	}
	e := edgeOf(stored.Size, hashes)
	if e.root() != cp.Root {
		return logState{}, s.diverge(t, "its stored hashes do not make the signed root")
	}
	return logState{signer: sg, head: stored, edge: e}, nil
}

// signer is the key of a log with this head. A log keeps the name that it began
// with: a name that somebody else put there fits no signature of ours.
func (s *Sequencer) signer(t ident.Tenant, h Head) (*signer, error) {
	host := s.host
	if h.Size > 0 {
		name, _, _ := strings.Cut(h.Verifier, "+")
		if was, of := splitOrigin(name); of == t && checkHost(was) == nil {
			host = was
		}
	}
	key, err := s.keys(t, h.Generation)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "getting the audit log's signing key", err)
	}
	return newSigner(Origin(host, t), key)
}

// NextKey is the note verifier key that a log's next rotation brings, for
// witnesses that have to know it before.
func (s *Sequencer) NextKey(t ident.Tenant, h Head) (string, error) {
	h.Generation++
	sg, err := s.signer(t, h)
	if err != nil {
		return "", err
	}
	return sg.verifier, nil
}

// begin takes up a log without a head: it has to be a new one.
func (s *Sequencer) begin(tx Tx, t ident.Tenant, sg *signer) (logState, error) {
	switch _, err := tx.Hashes(t, []int64{0}); {
	case fault.Is(err, fault.NotFound):
		return logState{signer: sg}, nil
	case err != nil:
		return logState{}, err
	}
	return logState{}, s.diverge(t, "its head is gone")
}

// publish makes the state of a transaction that committed the one to go on from.
func (s *Sequencer) publish(t ident.Tenant, st logState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[t] = st
}
