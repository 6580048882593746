//go:build !unix

package system

import (
	"context"
	"os"
)

// lock keeps the file open; where there is no flock, an open file is only a
// hint for whoever looks why the directory can't be removed.
func lock(_ context.Context, path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
