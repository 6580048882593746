package app

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport.dev/internal/fault"
)

// NewFile makes a file of mode 0600 with what write writes, whole or not at all:
// it has another name until it is complete and on disk. Conflict: there is one
// already; it is left alone. Unavailable: the disk.
func NewFile(path string, write func(w io.Writer) error) (err error) {
	taken := fault.Newf(fault.Conflict, "there is a file %s already", fault.Quote(path)).WithHint("choose another name: nothing is overwritten")
	if _, err := os.Lstat(path); err == nil {
		return taken
	}
	op := "writing " + fault.Quote(path)
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // its mode is 0600
	if err != nil {
		return diskErr(op, err)
	}
	defer func() {
		err = errors.Join(err, gone(os.Remove(f.Name())))
	}()
	out := &noting{w: f}
	err = write(out)
	if out.err != nil {
		err = diskErr(op, out.err) // whatever became of it on the way up
	}
	if err == nil {
		err = diskErr(op, f.Sync())
	}
	if cerr := f.Close(); err == nil {
		err = diskErr(op, cerr)
	}
	if err != nil {
		return err
	}
	// A link takes no name that is taken, where a renaming would.
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return taken
	}
	if err != nil { // some file systems have no links
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	return diskErr(op, err)
}

// gone takes it well that a file is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return diskErr("removing an unfinished file", err)
}

// noting keeps the first error of a writer.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(b []byte) (int, error) {
	k, err := n.w.Write(b)
	if n.err == nil {
		n.err = err
	}
	return k, err
}
