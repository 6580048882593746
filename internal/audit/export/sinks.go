package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
)

// DefaultFileSize is how large a file gets before another is begun, in bytes.
const DefaultFileSize = 256 << 20

// File writes JSON lines. A full one is renamed after the index that follows it, and
// kept: how long is the operator's business.
type File struct {
	path string
	size int64
}

// NewFile makes one. Invalid: the path is not absolute, or is in the data directory.
func NewFile(path, dataDir string, size int64) (*File, error) {
	if _, err := outside.NewFile(path, dataDir); err != nil {
		return nil, fault.Newf(fault.Invalid, "the export file %s has to be absolute, and outside of the data directory", fault.Quote(path))
	}
	if size == 0 {
		size = DefaultFileSize
	}
	if size < 1<<20 {
		return nil, fault.New(fault.Invalid, "an export file has at least 1 MiB before another is begun")
	}
	return &File{filepath.Clean(path), size}, nil
}

// Kind and Name are how it is called in the status.
func (f *File) Kind() string { return "export-file" }

// Name is its path.
func (f *File) Name() string { return f.path }

// Send appends the entries, and waits until they are on the disk. What was half
// written before, with a full disk, is taken away first.
func (f *File) Send(_ context.Context, b Batch) (err error) {
	if err := f.rotate(b); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return outside.FileFault("opening the export file", err)
	}
	defer func() { err = errors.Join(err, outside.FileFault("closing the export file", file.Close())) }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return fault.New(fault.Unavailable, "the export file is not a regular file")
	}
	end := info.Size()
	if end > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, end-1); err != nil {
			return outside.FileFault("reading the export file", err)
		}
		if last[0] != '\n' { // the machine stopped in the middle of a line: what follows must not be its rest
			if _, err := file.Write([]byte("\n")); err != nil {
				return outside.FileFault("writing the export file", err)
			}
		}
	}
	lines := append(bytes.Join(b.Entries, []byte("\n")), '\n')
	if _, err = file.Write(lines); err == nil {
		err = file.Sync()
	}
	if err != nil {
		_ = file.Truncate(end) // they come again
		return outside.FileFault("writing the export file", err)
	}
	return nil
}

// rotate begins another file where this one is full.
func (f *File) rotate(b Batch) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return outside.FileFault("making the export's directory", err)
	}
	info, err := os.Lstat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return fault.New(fault.Unavailable, "the export file is not a regular file")
	}
	if info.Size() < f.size {
		return nil
	}
	return outside.FileFault("beginning another export file", os.Rename(f.path, fmt.Sprintf("%s.%012d", f.path, b.First)))
}

// Syslog sends each entry as one RFC 5424 message.
type Syslog struct{ *outside.Syslog }

// Kind is how it is called in the status.
func (s Syslog) Kind() string { return "export-syslog" }

// Send sends the entries over one connection.
func (s Syslog) Send(ctx context.Context, b Batch) error {
	return s.Lines(ctx, b.At, "audit-entry", b.Entries)
}

// Post sends a body to a webhook under an id that is the same at every try.
type Post func(ctx context.Context, id string, body []byte) error

// Webhook posts batches, signed as Post does it.
type Webhook struct {
	URL  string
	Post Post
}

// Kind and Name are how it is called in the status.
func (w Webhook) Kind() string { return "export-webhook" }

// Name is its address, without what follows a question mark.
func (w Webhook) Name() string {
	name, _, _ := strings.Cut(w.URL, "?")
	return name
}

// Send posts the entries as one message.
func (w Webhook) Send(ctx context.Context, b Batch) error {
	type data struct {
		Tenant  string            `json:"tenant"`
		First   int64             `json:"first"`
		Next    int64             `json:"next"`
		Entries []json.RawMessage `json:"entries"`
	}
	d := data{Tenant: string(b.Tenant), First: b.First, Next: b.Next}
	for _, e := range b.Entries {
		d.Entries = append(d.Entries, e)
	}
	body, err := json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      data      `json:"data"`
	}{"audit.entries", b.At.UTC(), d})
	if err != nil {
		return fault.New(fault.Internal, "encoding the entries")
	}
	// After a backup was restored there are other entries under the same indexes.
	sum := sha256.Sum256(bytes.Join(b.Entries, []byte("\n")))
	return w.Post(ctx, fmt.Sprintf("audit-%s-%d-%d-%x", b.Tenant, b.First, b.Next, sum[:8]), body)
}
