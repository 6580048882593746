package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/stream"
	"sallyport.dev/internal/vault/kek"
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

// Backup is a backup whose header was read, and nothing else.
type Backup struct {
	Header BackupHeader
	// Length is how many bytes the whole of it has to have.
	Length int64
	sum    [sha256.Size]byte // of the beginning
	src    io.Reader
}

// ReadBackup reads a backup's header. Invalid: it is no backup, or of a format
// that this program does not know. Nothing in it is authentic before Open's
// reader has come to its end.
func ReadBackup(r io.Reader) (*Backup, error) {
	src := bufio.NewReader(r)
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(src, magic); err != nil || string(magic) != backupMagic {
		return nil, notABackup(magic, err)
	}
	head, err := readLine(src, maxBackupHeader)
	if err != nil {
		return nil, err
	}
	b := &Backup{src: src, sum: sha256.Sum256(slices.Concat(magic, head))}
	if err := b.Header.decode(head[:len(head)-1]); err != nil {
		return nil, err
	}
	b.Length = int64(len(magic)+len(head)) + stream.Length(b.Header.Size)
	return b, nil
}

func notABackup(magic []byte, err error) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Wrap(fault.Unavailable, "reading the backup", err)
	}
	if bytes.HasPrefix(magic, []byte("sallyport backup ")) {
		return fault.New(fault.Invalid, "the backup is of a format that this program does not know").
			WithHint("restore it with the version that made it, or with a newer one")
	}
	return fault.New(fault.Invalid, "it is not a backup that sallyport made")
}

// readLine reads up to a line's end, which is in the result.
func readLine(src *bufio.Reader, limit int) (line []byte, err error) {
	for {
		part, err := src.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit+1:
			return nil, fault.New(fault.Invalid, "the backup's header is too long")
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, fault.New(fault.Invalid, "the backup ends in its header: it was cut short")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fault.Wrap(fault.Unavailable, "reading the backup", err)
		}
	}
}

// decode reads a header in its one form: what would be written otherwise is not
// what was written.
func (h *BackupHeader) decode(b []byte) error {
	bad := fault.New(fault.Invalid, "the backup's header can't be read: it was changed, or a newer version made it")
	if json.Unmarshal(b, h) != nil {
		return bad
	}
	again, err := json.Marshal(*h)
	if err != nil || !bytes.Equal(again, b) {
		return bad
	}
	if h.Size <= 0 || h.Size > maxDatabase || len(h.Salt) != stream.KeySize || ident.CheckName(string(h.Tenant)) != nil ||
		len(h.Ring.Seals) == 0 || len(h.Ring.Seals) > maxBackupSeals || h.Vault != h.Ring.Root.Vault {
		return bad
	}
	return nil
}

// maxBackupSeals bounds how often a passphrase is tried for a header that anybody
// may have written.
const maxBackupSeals = 64

// maxDatabase is more than SQLite can have, and less than overflows.
const maxDatabase = 1 << 50

// Open opens a backup with any one of the seals. The reader gives the database;
// what it has given is authentic, and complete when it ends with io.EOF. It
// refuses (Invalid) whatever is not as it was written. Denied: no seal is the
// right one.
func (b *Backup) Open(ctx context.Context, c Config, seals ...kek.Seal) (io.Reader, error) {
	if len(seals) == 0 {
		return nil, fault.New(fault.Invalid, "opening a backup needs a key file or a passphrase")
	}
	c.Tenant = b.Header.Tenant
	v, err := New(c)
	if err != nil {
		return nil, err
	}
	defer v.lockdown()
	if _, err := v.openRing(ctx, b.Header.Ring, seals); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "opening the backup", err)
	}
	key, err := v.backupKey(b.Header)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(key)
	r, err := stream.NewReader(b.src, plain.Bytes(key), b.sum[:])
	if err != nil {
		return nil, err
	}
	return &sized{r: r, left: b.Header.Size}, nil
}

// sized refuses a stream that is not as long as the header says.
type sized struct {
	r    io.Reader
	left int64
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if s.left < 0 || errors.Is(err, io.EOF) && s.left != 0 {
		return 0, fault.New(fault.Invalid, "the backup's database is not of the size that its header says")
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	kind := fault.Unavailable // the disk, or the network
	if e, ours := errors.AsType[*fault.Error](err); ours {
		kind = e.Kind
	}
	return n, fault.Wrap(kind, "reading the backup", err)
}

// Count is how many Secrets there are, of all tenants.
type Count struct {
	Secrets int `json:"secrets"`
	// Refused have rows that are not the ones that were written last.
	Refused int `json:"refused"`
}

// Count counts the Secrets. Each was opened when the vault was unsealed.
func (v *Vault) Count() (c Count, err error) {
	s, err := v.open()
	if err != nil {
		return c, err
	}
	for _, t := range s.tenants {
		for _, e := range t.secrets {
			c.Secrets++
			if e.bad != nil || t.bad != nil {
				c.Refused++
			}
		}
	}
	return c, nil
}
