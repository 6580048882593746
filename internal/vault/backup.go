package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/stream"
)

// A backup is one file:
//
//	sallyport backup 1
//	{"id":…}                 the header, JSON on one line
//	chunks                   the database, see package stream; then nothing
//
// The header is readable by whoever has the file: it names the vault and has its
// keys, encrypted to the seals, so that a seal is all that it takes to open it.
// The stream's key is random and wrapped by the root key, not derived from the
// derivation key, which never changes: who once had a seal that was removed since,
// and an old backup, must not open the new ones. Every chunk is bound to the
// header's SHA-256.

// backupMagic begins a backup of this format.
const backupMagic = "sallyport backup 1\n"

// maxBackupHeader bounds the header, in bytes: it has a few kilobytes for each
// seal, and some two hundred bytes for each tenant.
const maxBackupHeader = 4 << 20

// BackupHeader is what can be read of a backup without a seal. It is
// authenticated by whatever opens the rest.
type BackupHeader struct {
	ID          string             `json:"id"` // "bkp_…", as the audit log has it
	CreatedAt   time.Time          `json:"createdAt"`
	Version     string             `json:"version"` // of the program
	Vault       string             `json:"vault"`   // its id
	Tenant      ident.Tenant       `json:"tenant"`  // whose audit log has what concerns the whole vault
	Schema      int                `json:"schema"`  // the database's last migration
	Size        int64              `json:"size"`    // of the database, in bytes
	Key         []byte             `json:"key"`     // the stream's, wrapped by the root key
	Ring        Ring               `json:"ring"`    // without project keys, which are in the database
	Checkpoints []BackupCheckpoint `json:"checkpoints"`
}

// BackupCheckpoint is where a tenant's audit log was.
type BackupCheckpoint struct {
	Tenant   ident.Tenant `json:"tenant"`
	Verifier string       `json:"verifier"` // a note verifier key
	Note     string       `json:"note"`     // the signed checkpoint
}

// NewBackup begins a backup: its id and its time. The caller fills in what
// describes the database.
func NewBackup(now time.Time) BackupHeader {
	return BackupHeader{ID: ident.New("bkp"), CreatedAt: now.UTC().Truncate(time.Millisecond)}
}

// SealBackup writes a backup's header to w, and encrypts what is then written to
// the result, which is the database; Close ends the backup, and does not close w.
// Unavailable: the vault is sealed. Conflict: the keys in h are not the ones that
// this vault was opened with.
func (v *Vault) SealBackup(h BackupHeader, w io.Writer) (io.WriteCloser, error) {
	key := newKey()
	defer plain.Wipe(key)
	if err := v.finishBackup(&h, key); err != nil {
		return nil, err
	}
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(head); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "writing the backup", err)
	}
	sum := sha256.Sum256(head)
	return stream.NewWriter(w, plain.Bytes(key), sum[:])
}

// finishBackup fills in what the vault knows, and wraps the backup's key with the
// root key of the ring that goes into the header.
func (v *Vault) finishBackup(h *BackupHeader, key plain.Value) error {
	v.replacing.RLock() // the ring and its root key, not one of each
	defer v.replacing.RUnlock()
	ring, err := v.Ring()
	if err != nil {
		return err
	}
	if !sameRing(ring, h.Ring) {
		return fault.New(fault.Conflict, "the stored keys are not the ones that the vault holds").
			WithHint("if somebody is changing the seals, try again; if not, restart the server and look at the audit log")
	}
	h.Vault, h.Tenant, h.Ring.Projects = ring.Root.Vault, v.cfg.Tenant, nil
	return v.withRoot(func(root []byte) (err error) {
		h.Key, err = box.Seal(root, h.keyAAD(), key)
		return err
	})
}

// keyAAD says which backup's key it is.
func (h BackupHeader) keyAAD() box.AAD {
	return box.Bind("backup key", h.Vault, strconv.Itoa(h.Ring.Root.Generation), h.ID)
}

// sameRing compares all but project keys, whatever the order of the seals.
func sameRing(a, b Ring) bool {
	var text [2][]byte
	for i, r := range []Ring{a, b} {
		r.Projects, r.Seals = nil, slices.SortedFunc(slices.Values(r.Seals), func(x, y SealRow) int { return strings.Compare(x.ID, y.ID) })
		text[i], _ = json.Marshal(r) // rows that were loaded from JSON and columns
	}
	return len(text[0]) > 0 && bytes.Equal(text[0], text[1])
}

// encode is the backup's beginning, up to its first chunk.
func (h BackupHeader) encode() ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil || len(b) > maxBackupHeader {
		return nil, fault.New(fault.Internal, "encoding a backup's header")
	}
	return slices.Concat([]byte(backupMagic), b, []byte("\n")), nil
}
