package outside

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// File is an anchor: an append-only file of lines. It is worth something where who
// runs the server can't change it: on a volume that only takes appends, or one that
// somebody else copies.
type File struct{ path string }

// NewFile makes one, in a directory of its own. Invalid: the path is not absolute,
// or is in the data directory, where it would go with what it anchors.
func NewFile(path, dataDir string) (*File, error) {
	data, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "finding the data directory", err)
	}
	path = filepath.Clean(path)
	if rel, err := filepath.Rel(data, path); !filepath.IsAbs(path) || err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil, fault.Newf(fault.Invalid, "the anchor file %s has to be absolute, and outside of the data directory", fault.Quote(path))
	}
	return &File{path}, nil
}

// Kind and Name are how it is called in the status.
func (f *File) Kind() string { return "file" }

// Name is its path.
func (f *File) Name() string { return f.path }

// Put appends a line and waits until it is on the disk. The file is opened each time:
// a volume that went away is noticed.
func (f *File) Put(_ context.Context, _ time.Time, line []byte) (err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return FileFault("making the anchor's directory", err)
	}
	info, err := os.Lstat(f.path)
	fresh := errors.Is(err, os.ErrNotExist)
	if !fresh && (err != nil || !info.Mode().IsRegular()) {
		return fault.New(fault.Unavailable, "the anchor file is not a regular file")
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return FileFault("opening the anchor file", err)
	}
	defer func() { err = errors.Join(err, FileFault("closing the anchor file", file.Close())) }()
	if err := mend(file); err != nil {
		return err
	}
	if _, err := file.Write(line); err != nil {
		return FileFault("writing the anchor file", err)
	}
	if err := file.Sync(); err != nil {
		return FileFault("writing the anchor file", err)
	}
	if fresh {
		return syncDir(dir)
	}
	return nil
}

// mend takes away a last line without its end: the machine stopped while it was
// written, and what follows must not be taken for its rest.
func mend(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return FileFault("reading the anchor file", err)
	}
	const page = 64 << 10 // a line is far shorter
	from := max(0, end-page)
	b := make([]byte, end-from)
	if _, err := f.ReadAt(b, from); err != nil {
		return FileFault("reading the anchor file", err)
	}
	if keep := from + int64(strings.LastIndexByte(string(b), '\n')+1); keep < end {
		return FileFault("mending the anchor file", f.Truncate(keep))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return FileFault("opening the anchor's directory", err)
	}
	return errors.Join(FileFault("writing the anchor's directory", d.Sync()), FileFault("closing the anchor's directory", d.Close()))
}

// FileFault is an error of a file without its path, which is in the status already;
// nil where there is none.
func FileFault(op string, err error) error {
	if err == nil {
		return nil
	}
	var why *os.PathError
	if errors.As(err, &why) {
		err = why.Err
	}
	return fault.Wrap(fault.Unavailable, op, err)
}
