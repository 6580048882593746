package app

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: the process dies between two steps.

// reborn is a program over a data directory whose rotations die at a point.
func reborn(t *testing.T, dir, dies string, points *[]string) *soakApp {
	t.Helper()
	crash := func(r rotation.Rotation, p rotation.Point) {
		at := string(r.State) + "/" + string(p)
		if points != nil {
			*points = append(*points, at)
		}
		if at == dies {
			panic("killed at " + at)
		}
	}
	a, err := New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.DiscardHandler,
		Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}, RotationCrash: crash})
	if err != nil {
		t.Fatal(err)
	}
	s := &soakApp{App: a, t: t}
	s.must(a.Vault.Unseal(t.Context(), a.store, a.cfg.Seals...))
	s.must(a.store.VerifyRows(t.Context()))
	s.must(a.loadWorlds(t.Context()))
	return s
}

// killed says whether what f did ended in the death of the process.
func killed(f func()) (died bool) {
	defer func() {
		if why, ok := recover().(string); ok {
			died = strings.HasPrefix(why, "killed at ")
		}
	}()
	f()
	return false
}

// With the real store, vault and system: the process dies at each point, another
// one takes up what is there, and ends with one active version that works.
func TestADeathAtEveryPointOfARotationIsMadeUpFor(t *testing.T) {
	var points []string
	for _, dies := range append([]string{""}, deaths...) {
		dir := t.TempDir()
		s, k := reborn(t, dir, dies, &points), newKeyring(t, false, false)
		s.web(k, 0)
		r, err := s.Rotation.Start(t.Context(), soakAs, "crm", "")
		s.must(err)
		died := killed(func() { s.must(s.Rotation.Advance(t.Context(), "acme")) })
		if died != (dies != "") {
			t.Fatalf("at %q it died: %v", dies, died)
		}
		s.must(s.store.Close())
		next := reborn(t, dir, "", nil)
		s.must(next.Rotation.Advance(t.Context(), "acme"))
		r, err = next.store.Rotation(t.Context(), "acme", r.ID)
		s.must(err)
		head, err := next.Vault.Show(t.Context(), "acme", "crm")
		s.must(err)
		asked := dies == "making/recorded" && r.State == rotation.NeedsPerson // this system can't be asked what it has made
		if !asked && (r.State != rotation.Done || head.Active != 2 || len(k.live) != 1) {
			t.Errorf("killed at %q: %s (%s), version %d is active, %d credentials", dies, r.State, r.Why, head.Active, len(k.live))
		}
		if works(next, head.Active) != nil {
			t.Errorf("killed at %q: the active version does not work", dies)
		}
		s.must(next.Stop(context.WithoutCancel(t.Context())))
	}
	for _, p := range points {
		if p != "done/after" && !slices.Contains(deaths, p) {
			t.Errorf("nothing died at %s", p)
		}
	}
}

// deaths are the points of a rotation that goes well.
var deaths = func() (out []string) {
	for _, s := range []rotation.State{rotation.Making, rotation.Trying, rotation.Switching, rotation.Grace, rotation.Disabling, rotation.Deleting} {
		for _, p := range rotation.Points {
			out = append(out, string(s)+"/"+string(p))
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "making/after" }) // after a step is the next state's
}()

// works tries a version at its system.
func works(s *soakApp, n int) error {
	p, err := s.store.RotationPolicy(s.t.Context(), "acme", "crm")
	s.must(err)
	ways, err := s.ways(p.Spec.Rotator)
	s.must(err)
	return s.Vault.TryVersion(s.t.Context(), vault.RotationJob{Tenant: "acme", Secret: "crm", Was: 1, Rotator: p.Spec.Rotator, Ways: ways, Actor: soakAs}, n)
}

// Somebody who writes the database, and has no key, steers no rotation: neither one
// that goes on nor what a policy says.
func TestAChangedRowOfARotationIsRefusedAndTheSecretGoesOn(t *testing.T) {
	for name, query := range map[string]string{
		"the rotation's state":  "UPDATE rotation SET state = 'deleting', body = replace(body, '\"state\":\"making\"', '\"state\":\"deleting\"')",
		"its version":           "UPDATE rotation SET body = replace(body, '\"was\":1', '\"was\":2')",
		"where it sends orders": "UPDATE rotation SET body = replace(body, '127.0.0.1', '127.0.0.2')",
		"the policy's system":   "UPDATE rotation_policy SET body = replace(body, '127.0.0.1', '127.0.0.2')",
		"no rotation":           "DELETE FROM rotation",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, k := reborn(t, dir, "", nil), newKeyring(t, false, false)
			s.web(k, 0)
			r, err := s.Rotation.Start(t.Context(), soakAs, "crm", "")
			s.must(err)
			s.must(s.store.Close())
			spoil(t, dir, query)
			next := reborn(t, dir, "", nil)
			defer func() { s.must(next.Stop(context.WithoutCancel(t.Context()))) }()
			s.must(next.Rotation.Advance(t.Context(), "acme"))
			if _, err := next.store.Rotation(t.Context(), "acme", r.ID); !strings.Contains(query, "rotation_policy") && !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
				t.Errorf("the rotation is read: %v", err)
			}
			if _, err := next.store.RotationPolicy(t.Context(), "acme", "crm"); strings.Contains(query, "rotation_policy") && !fault.Is(err, fault.Denied) {
				t.Errorf("the policy is read: %v", err)
			}
			if refused := next.store.RefusedRows(); len(refused) == 0 || !strings.HasPrefix(refused[0].Table, "rotation") {
				t.Errorf("refused are %v", refused)
			}
			head, err := next.Vault.Show(t.Context(), "acme", "crm")
			s.must(err)
			if !strings.Contains(query, "rotation_policy") && (head.Active != 1 || len(head.Versions) != 1) {
				t.Errorf("version %d of %d is active", head.Active, len(head.Versions))
			}
		})
	}
}

// A genuine row of an earlier step that was put back is no leave to take the steps
// after it once more.
func TestAnOldRowOfARotationThatWasPutBackIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, k := reborn(t, dir, "", nil), newKeyring(t, false, false)
	s.web(k, 0)
	r, err := s.Rotation.Start(t.Context(), soakAs, "crm", "")
	s.must(err)
	s.must(s.store.Close())
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "data", sqlite.File)+"?_pragma=busy_timeout(5000)")
	s.must(err)
	var state, body, mac string
	var revision int
	s.must(db.QueryRowContext(t.Context(), "SELECT state, body, revision, hex(mac) FROM rotation").Scan(&state, &body, &revision, &mac))
	s.must(db.Close())

	next := reborn(t, dir, "", nil)
	s.must(next.Rotation.Advance(t.Context(), "acme"))
	s.must(next.Stop(context.WithoutCancel(t.Context())))
	spoil(t, dir, fmt.Sprintf("UPDATE rotation SET state = '%s', body = '%s', revision = %d, mac = x'%s'", state, body, revision, mac))

	last := reborn(t, dir, "", nil)
	defer func() { s.must(last.Stop(context.WithoutCancel(t.Context()))) }()
	s.must(last.Rotation.Advance(t.Context(), "acme"))
	if _, err := last.store.Rotation(t.Context(), "acme", r.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("it is read: %v", err)
	}
	head, err := last.Vault.Show(t.Context(), "acme", "crm")
	s.must(err)
	if head.Active != 2 || len(head.Versions) != 2 || len(k.live) != 1 || works(last, 2) != nil {
		t.Errorf("version %d of %d is active, and the system has %d credentials", head.Active, len(head.Versions), len(k.live))
	}
}
