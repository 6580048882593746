package vault

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
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
// The stream's key is derived from the vault's keys and the header's salt, and
// every chunk is bound to the header's SHA-256.

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
	Salt        []byte             `json:"salt"`
	Ring        Ring               `json:"ring"` // without project keys, which are in the database
	Checkpoints []BackupCheckpoint `json:"checkpoints"`
}

// BackupCheckpoint is where a tenant's audit log was.
type BackupCheckpoint struct {
	Tenant   ident.Tenant `json:"tenant"`
	Verifier string       `json:"verifier"` // a note verifier key
	Note     string       `json:"note"`     // the signed checkpoint
}

// NewBackup begins a backup: its id, its salt and its time. The caller fills in
// what describes the database.
func NewBackup(now time.Time) BackupHeader {
	salt := make([]byte, stream.KeySize)
	_, _ = rand.Read(salt) // never fails
	return BackupHeader{ID: ident.New("bkp"), CreatedAt: now.UTC().Truncate(time.Millisecond), Salt: salt}
}

// Digest names the backup in the audit log, before its content is known: SHA-256
// of its id and salt, in hex.
func (h BackupHeader) Digest() string {
	sum := sha256.Sum256(append([]byte(h.ID+"\n"), h.Salt...))
	return hex.EncodeToString(sum[:])
}

// SealBackup writes a backup's header to w, and encrypts what is then written to
// the result, which is the database; Close ends the backup, and does not close w.
// Unavailable: the vault is sealed. Conflict: the keys in h are not the ones that
// this vault was opened with.
func (v *Vault) SealBackup(h BackupHeader, w io.Writer) (io.WriteCloser, error) {
	ring, err := v.Ring()
	if err != nil {
		return nil, err
	}
	if !sameRing(ring, h.Ring) {
		return nil, fault.New(fault.Conflict, "the stored keys are not the ones that the vault holds").
			WithHint("if somebody is changing the seals, try again; if not, restart the server and look at the audit log")
	}
	h.Vault, h.Tenant, h.Ring.Projects = ring.Root.Vault, v.cfg.Tenant, nil
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	key, err := v.backupKey(h)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(key)
	if _, err := w.Write(head); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "writing the backup", err)
	}
	sum := sha256.Sum256(head)
	return stream.NewWriter(w, plain.Bytes(key), sum[:])
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

// backupKey is a backup's own key.
func (v *Vault) backupKey(h BackupHeader) (key plain.Value, err error) {
	serr := v.subkey(backupKey, "", func(sub []byte) {
		var k []byte
		if k, err = hkdf.Key(sha256.New, sub, h.Salt, "sallyport backup stream", stream.KeySize); err == nil {
			key = plain.New(k)
		}
	})
	if serr != nil {
		return plain.Value{}, serr
	}
	if err != nil {
		return plain.Value{}, fault.New(fault.Internal, "deriving a backup's key")
	}
	return key, nil
}
