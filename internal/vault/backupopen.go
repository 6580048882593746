package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/stream"
	"sallyport.dev/internal/vault/kek"
)

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
	if h.Size <= 0 || h.Size > maxDatabase || ident.CheckName(string(h.Tenant)) != nil ||
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
	var key plain.Value
	if err := v.withRoot(func(root []byte) (err error) {
		key, err = box.Open(root, b.Header.keyAAD(), b.Header.Key)
		return err
	}); err != nil {
		return nil, fault.New(fault.Invalid, "the backup's key is not one of its vault's: the header was changed")
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
