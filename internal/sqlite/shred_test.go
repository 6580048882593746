package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// onDisk says in which of the store's files some bytes are.
func (s *shelf) onDisk(what []byte) []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "data", sqlite.File+"*"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("%v, %v", files, err)
	}
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			s.t.Fatal(err)
		}
		if bytes.Contains(b, what) {
			out = append(out, filepath.Base(f))
		}
	}
	return out
}

// The keys that open what was destroyed or rotated away are in no file of the
// store, the write-ahead log included.
func TestWhatIsShreddedIsInNoFile(t *testing.T) {
	s := newShelf(t)
	s.put(s.Set, "acme", "erp", vaultCanary)
	s.put(s.Set, "acme", "crm", vaultCanary+"-2")
	keys := func() map[string][]byte {
		snap, err := s.store.LoadVault(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]byte{"the root key": snap.Ring.Seals[0].Root, "the project key": snap.Ring.Projects[0].Wrapped}
		for _, v := range snap.Versions {
			out[v.Name+"'s data key"], out[v.Name+"'s value"] = v.Key, v.Value
		}
		return out
	}
	before := keys()
	for what, b := range before {
		if len(s.onDisk(b)) == 0 {
			t.Fatalf("%s is in no file: the search finds nothing", what)
		}
	}
	who := vaultAdmin("acme")
	if err := s.Remove(t.Context(), "acme", "erp", who); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"erp's data key", "erp's value"} {
		if at := s.onDisk(before[what]); at != nil {
			t.Errorf("after the removal %s is in %v", what, at)
		}
	}
	for _, rotate := range []func() (vault.Rotation, error){
		func() (vault.Rotation, error) { return s.RotateData(t.Context(), "acme", who) },
		func() (vault.Rotation, error) { return s.RotateRoot(t.Context(), who) },
	} {
		if _, err := rotate(); err != nil {
			t.Fatal(err)
		}
	}
	for what, b := range before {
		if at := s.onDisk(b); at != nil {
			t.Errorf("after the rotations %s is in %v", what, at)
		}
	}
}
