package gcpsm

import "sallyport.dev/internal/vault/backend"

// Read reads an answer.
func Read(raw []byte, a backend.Ask) (backend.Answer, error) {
	m := &manager{cfg: Config{Project: "acme-prod"}}
	return m.read(raw, a)
}
