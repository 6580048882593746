package backend

import (
	"context"

	"sallyport.dev/internal/vault/internal/safe"
)

// Enterer is a Backend that can be tried without a value being read.
type Enterer interface {
	Backend
	// Ready looks whether the files of the sign-in can be read and used. It asks nobody
	// anything.
	Ready() error
	// Enter signs in anew, and looks at what else can be known without a value; did
	// says what that was, for people. What is in use goes on with the sign-in that it
	// has. Its errors are an *Error.
	Enter(ctx context.Context) (did string, err error)
}

// Readable looks whether files with credentials can be read; an empty name is none.
func Readable(what string, limit int64, paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		b, err := safe.Secret(path, limit)
		clear(b)
		if err != nil {
			return FailOf(Refused, what+" can't be used", err)
		}
	}
	return nil
}
