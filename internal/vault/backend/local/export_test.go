package local

import (
	"time"

	"sallyport.dev/internal/vault/backend"
)

// Hurry makes a watch look often.
func Hurry(b backend.Backend) backend.Backend {
	f := b.(files)
	f.every = 5 * time.Millisecond
	return f
}
