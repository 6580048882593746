package vaultkv

import "sallyport.dev/internal/vault/backend"

// Read reads an answer as an engine does.
func Read(engine int, raw []byte) (backend.Answer, error) {
	if engine == 1 {
		return first(raw)
	}
	return second(raw, "")
}
