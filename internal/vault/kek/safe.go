package kek

import (
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/safe"
)

// readConfig reads a seal's configuration, which says where keys are sent or
// which program gets them: a regular file that nobody but root or we can change or
// put another one in the place of. Links are followed first, so that what was
// checked is what is read.
func readConfig(path string, into any) error {
	b, err := safe.Config(path)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "reading the seal's configuration", err)
	}
	if err := safe.Strict(b, into); err != nil {
		return &fault.Error{Kind: fault.Invalid, Msg: "the seal's configuration " + fault.Quote(path), Err: err, Hint: "docs/seals.md has an example"}
	}
	return nil
}
