package local

import (
	"context"
	"io/fs"
	"os"
	"time"

	"sallyport.dev/internal/vault/backend"
)

// looking is how often a watch looks. Looking works on every file system, also where
// an orchestrator swaps the link that a whole directory is behind.
const looking = 2 * time.Second

// Watch looks which file is at a path, when it was written and how long it is; it
// reads none. Two changes within one tick of the file system's clock that leave the
// length as it was are one.
func (f files) Watch(ctx context.Context, path string, tell func(backend.Sight)) error {
	was, err := f.look(path)
	if err != nil {
		return err
	}
	tell(backend.Began)
	t := time.NewTicker(f.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now, err := f.look(path)
		if err != nil {
			return err
		}
		if !same(was, now) {
			was = now
			tell(backend.Changed)
		}
	}
}

// look is nil where there is no such file.
func (f files) look(path string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, backend.Fail(backend.Away, "the directory can't be opened")
	}
	defer func() { _ = root.Close() }() // it was only read
	info, err := root.Stat(path)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // why there is none, a Fetch says
	}
	return info, nil
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
