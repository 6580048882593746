package outside

import "sallyport.dev/internal/audit"

// Open takes a witness's line out of an answer.
func (w *Witness) Open(head audit.Head, answer []byte) (string, error) { return w.open(head, answer) }
