package sqlite_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/storetest"
)

// A backup does not know which tokens were revoked after it was made, so none of them
// is worth anything when it is restored.
func TestNoWorkersTokenOutlivesARestore(t *testing.T) {
	s := openIn(t, t.TempDir())
	w := storetest.NewWorld(t, s)
	root := w.Human("acme", "root", ident.Admin)
	night := &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: "night"}, Owner: "root"}
	if err := applyTo(t, s)("acme", resource.KindWorker, "night", night); err != nil {
		t.Fatal(err)
	}
	w.Workers["acme"] = []*resource.Worker{night}
	_, token, err := w.Dir.MintWorker(t.Context(), root.Account.Principal(), "night", time.Hour, storetest.Password, root.NextCode(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Dir.Caller(t.Context(), token, w.Now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restored(t.Context(), sqlite.Restored{At: w.Now}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Dir.Caller(t.Context(), token, w.Now); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after a restore: %v", err)
	}
	rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.WorkerTokenRevoked}, 0, 10)
	if err != nil || len(rows) != 1 {
		t.Errorf("%d entries, %v", len(rows), err)
	}
}
