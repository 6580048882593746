package vault_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// keyFileSeal names a new key file.
func keyFileSeal(t testing.TB) kek.Seal {
	return kek.NewKeyFile(filepath.Join(t.TempDir(), "key"))
}

// opensBy says which error a restart with one seal ends with.
func (f *fixture) opensBy(seal kek.Seal) error {
	return f.sealed().Unseal(f.t.Context(), f.store, seal)
}

func (f *fixture) add(seal kek.Seal) vault.SealInfo {
	f.t.Helper()
	info, err := f.AddSeal(f.t.Context(), seal, admin(acme))
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

func TestEveryKeyIsRotatedWhileSecretsAreUsed(t *testing.T) {
	f := start(t)
	second := keyFileSeal(t)
	f.add(second)
	f.set(acme, "erp", canary1)
	f.rotate(acme, "erp", canary2)
	f.set(globex, "erp", canary3)
	before := clone(f.store.snap, nil)
	for _, rotate := range []func() (vault.Rotation, error){
		func() (vault.Rotation, error) { return f.RotateRoot(t.Context(), admin(acme)) },
		func() (vault.Rotation, error) { return f.RotateProject(t.Context(), acme, admin(acme)) },
		func() (vault.Rotation, error) { return f.RotateData(t.Context(), acme, admin(acme)) },
	} {
		got, err := rotate()
		if err != nil || got.Count == 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		for range 2 { // at once, and after a restart with the seal that was not used
			for _, c := range []struct {
				tenant ident.Tenant
				ref    string
				want   string
			}{{acme, "erp", canary2}, {acme, "erp@v1", canary1}, {globex, "erp", canary3}} {
				if f.call(spec(c.tenant, c.ref)) != "Bearer "+c.want {
					t.Errorf("after %s: %s of %s does not work", got.What, c.ref, c.tenant)
				}
			}
			f.seal, second = second, f.seal
			f.restart()
		}
	}
	now := f.store.snap
	if now.Ring.Root.Generation != 2 || bytes.Equal(now.Ring.Seals[0].Root, before.Ring.Seals[0].Root) {
		t.Error("the root key is the old one")
	}
	for _, p := range now.Ring.Projects {
		if p.Tenant == acme && p.Term != 3 {
			t.Errorf("the project key of term %d is still there", p.Term)
		}
	}
	for _, v := range before.Versions {
		got := *f.store.version(v.Tenant, v.Name, v.Version)
		if v.Tenant == acme && (bytes.Equal(got.Key, v.Key) || bytes.Equal(got.Value, v.Value)) {
			t.Errorf("version %d of %s has an old ciphertext", v.Version, v.Name)
		}
	}
}

func TestWhatIsDerivedStaysTheSameWhenTheRootKeyIsReplaced(t *testing.T) {
	f := start(t)
	mac := func() []byte {
		b, err := f.MAC(vault.TokenPepper, acme, "x")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := mac()
	if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, mac()) {
		t.Error("people's passwords and sessions would end")
	}
	f.restart()
	if !bytes.Equal(before, mac()) {
		t.Error("people's passwords and sessions end with the restart")
	}
}

func TestARemovedSealOpensNothingThatIsStoredAfterwards(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	second := keyFileSeal(t)
	info := f.add(second)
	if err := f.opensBy(second); err != nil {
		t.Fatalf("the new seal: %v", err)
	}
	old := clone(f.store.snap, nil)
	if err := f.RemoveSeal(t.Context(), info.ID, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := f.opensBy(second); !fault.Is(err, fault.Denied) {
		t.Errorf("the removed seal: %v", err)
	}
	// Its row, kept from before, beside what is stored now.
	i := slices.IndexFunc(old.Ring.Seals, func(s vault.SealRow) bool { return s.ID == info.ID })
	f.store.snap.Ring.Seals = append(f.store.snap.Ring.Seals, old.Ring.Seals[i])
	if err := f.opensBy(second); !fault.Is(err, fault.Denied) {
		t.Errorf("the removed seal's old row: %v", err)
	}
	// All of the old ring: the log counts more changes than it has.
	f.store.snap.Ring = old.Ring
	if err := f.opensBy(second); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "old ring") {
		t.Errorf("the whole old ring: %v", err)
	}
	if f.refusal(acme, "") == nil {
		t.Error("the audit log does not have it")
	}
}

// A passphrase leaks and is renewed. Its old row is genuine, and of an earlier ring.
func TestARenewedSealsOldRowIsNotTakenBack(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	leaked := passphrase(t, "the passphrase that leaked")
	info := f.add(leaked)
	old := clone(f.store.snap, nil)
	if _, err := f.RenewSeal(t.Context(), info.ID, passphrase(t, "another passphrase, in a safe"), admin(acme)); err != nil {
		t.Fatal(err)
	}
	i := f.ringPlace(info.ID)
	f.store.snap.Ring.Seals[i] = old.Ring.Seals[i]
	f.restart()
	if f.refusal(acme, info.ID) == nil {
		t.Error("the audit log does not name it")
	}
	if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := f.opensBy(leaked); !fault.Is(err, fault.Denied) {
		t.Errorf("the passphrase that leaked: %v", err)
	}
}

func (f *fixture) ringPlace(id string) int {
	return slices.IndexFunc(f.store.snap.Ring.Seals, func(s vault.SealRow) bool { return s.ID == id })
}

// Nor is a removed one's, when it is put back beside what is stored now, whatever
// is changed after that.
func TestARemovedSealsOldRowIsGivenNoRootKey(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	second := keyFileSeal(t)
	info := f.add(second)
	old := f.store.snap.Ring.Seals[f.ringPlace(info.ID)]
	if err := f.RemoveSeal(t.Context(), info.ID, admin(acme)); err != nil {
		t.Fatal(err)
	}
	f.store.snap.Ring.Seals = append(f.store.snap.Ring.Seals, old)
	f.restart()
	seals, err := f.Seals()
	if err != nil || !slices.ContainsFunc(seals, func(s vault.SealInfo) bool { return s.ID == info.ID && s.Refused != "" }) {
		t.Errorf("it is not shown as refused: %+v, %v", seals, err)
	}
	f.add(keyFileSeal(t)) // any change of the ring
	f.restart()
	if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := f.opensBy(second); !fault.Is(err, fault.Denied) {
		t.Errorf("the removed seal: %v", err)
	}
}

// With the removed seal and the old database, its project key is known.
func TestWhatIsStoredAfterARemovalIsUnderNewKeys(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	info := f.add(keyFileSeal(t))
	before, err := f.Keys(acme)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveSeal(t.Context(), info.ID, admin(acme)); err != nil {
		t.Fatal(err)
	}
	f.set(acme, "crm", canary2)
	after, err := f.Keys(acme)
	if err != nil || after.Term != before.Term+1 || after.Older != 1 {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
	f.restart()
	for _, ref := range []string{"erp", "crm"} {
		if err := f.opens(acme, ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestNoChangeLeavesARingWithoutATrustedSeal(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.store.snap.Ring.Seals[0].MAC[0] ^= 1 // it still unseals
	f.restart()
	if _, err := f.RotateRoot(t.Context(), admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Fatalf("replacing the root key: %v", err)
	}
	f.restart()
	id := f.store.snap.Ring.Seals[0].ID
	if _, err := f.RenewSeal(t.Context(), id, f.seal, admin(acme)); err != nil { // all of its row is made anew
		t.Fatal(err)
	}
	f.restart()
	if seals, err := f.Seals(); err != nil || seals[0].Refused != "" {
		t.Errorf("%+v, %v", seals, err)
	}
	if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
		t.Errorf("replacing the root key, afterwards: %v", err)
	}
	f.restart()
	if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
		t.Error("the secret does not work")
	}
}

func TestAPlantedProjectKeyIsNamedAndInNobodysWay(t *testing.T) {
	for name, plant := range map[string]func(r vault.Ring) vault.ProjectRow{
		"of another project": func(r vault.Ring) vault.ProjectRow { p := r.Projects[0]; p.Project = "shadow"; return p },
		"of another term":    func(r vault.Ring) vault.ProjectRow { p := r.Projects[0]; p.Term = 9; return p },
		"made later": func(r vault.Ring) vault.ProjectRow {
			p := r.Projects[0]
			p.Term, p.CreatedAt = 2, p.CreatedAt.AddDate(90, 0, 0)
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.set(acme, "erp", canary1)
			f.store.snap.Ring.Projects = append(f.store.snap.Ring.Projects, plant(f.store.snap.Ring))
			f.restart()
			n := 0
			for _, ev := range f.store.events {
				if ev.Type == audit.RowRefused {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d rows are named in the audit log", n)
			}
			if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
				t.Errorf("replacing the root key: %v", err)
			}
			f.restart()
			if f.call(spec(acme, "erp")) != "Bearer "+canary1 || len(f.store.snap.Ring.Projects) != 1 {
				t.Error("the secret does not work, or the row is still there")
			}
		})
	}
}

func TestTheLastSealStays(t *testing.T) {
	f := start(t)
	seals, err := f.Seals()
	if err != nil || len(seals) != 1 {
		t.Fatalf("%v, %v", seals, err)
	}
	if err := f.RemoveSeal(t.Context(), seals[0].ID, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("removing the last seal: %v", err)
	}
	f.restart()
}

// Each attack has write access to the ring and no key. After it the server
// starts, and then its root key is rotated.
func TestWhoCanWriteTheRingButHasNoKeyIsRefused(t *testing.T) {
	for name, a := range map[string]struct {
		do    func(f *fixture, mine vault.Ring)
		named int // how many rows the audit log names
	}{
		"the second seal's public key is the attacker's": {func(f *fixture, mine vault.Ring) {
			f.store.snap.Ring.Seals[1].Public = mine.Seals[0].Public
		}, 1},
		"the second seal's row is the attacker's": {func(f *fixture, mine vault.Ring) {
			id := f.store.snap.Ring.Seals[1].ID
			f.store.snap.Ring.Seals[1] = mine.Seals[0]
			f.store.snap.Ring.Seals[1].ID = id
		}, 1},
		"a seal of the attacker's is added": {func(f *fixture, mine vault.Ring) {
			f.store.snap.Ring.Seals = append(f.store.snap.Ring.Seals, mine.Seals[0])
		}, 2},
		"a seal is removed": {func(f *fixture, _ vault.Ring) {
			f.store.snap.Ring.Seals = f.store.snap.Ring.Seals[:1]
		}, 1},
		"the second seal's tag key is changed": {func(f *fixture, _ vault.Ring) {
			f.store.snap.Ring.Seals[1].Tag[3] ^= 1
		}, 1},
		"the root row's revision is raised": {func(f *fixture, _ vault.Ring) {
			f.store.snap.Ring.Root.CreatedAt = f.store.snap.Ring.Root.CreatedAt.AddDate(1, 0, 0)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			attacker := start(t)
			f := start(t)
			f.add(keyFileSeal(t))
			f.set(acme, "erp", canary1)
			mine, err := attacker.Ring()
			if err != nil {
				t.Fatal(err)
			}
			a.do(f, mine)
			f.restart()
			n := 0
			for _, ev := range f.store.events {
				if ev.Type == audit.RowRefused {
					n++
				}
			}
			if n != a.named {
				t.Errorf("%d rows are named in the audit log, want %d", n, a.named)
			}
			if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil {
				t.Fatal(err)
			}
			if err := f.opensBy(attacker.seal); !fault.Is(err, fault.Denied) {
				t.Errorf("the attacker's seal opens the vault: %v", err)
			}
			f.restart()
			if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
				t.Error("the secret does not work any more")
			}
			for _, s := range f.store.snap.Ring.Seals {
				if bytes.Equal(s.Public, mine.Seals[0].Public) {
					t.Error("the attacker's seal was given the new root key")
				}
			}
		})
	}
}

// Somebody who can write the database makes a root key of their own, and wants
// the operator's seal to open it: they would read what is stored from then on.
func TestAPlantedRootKeyIsNotTaken(t *testing.T) {
	f, attacker := start(t), start(t)
	theirs, err := attacker.Ring()
	if err != nil {
		t.Fatal(err)
	}
	mine := f.store.snap.Ring.Seals[0]
	planted := theirs.Seals[0]
	planted.ID, planted.Sealed, planted.Public = mine.ID, mine.Sealed, mine.Public
	theirs.Seals, theirs.Root.Vault = []vault.SealRow{planted}, f.store.snap.Ring.Root.Vault
	f.store.snap.Ring = theirs
	if err := f.opensBy(f.seal); !fault.Is(err, fault.Denied) {
		t.Errorf("a planted root key: %v", err)
	}
}

func TestAProjectKeyThatWasRotatedAwayIsNotUsedAgain(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	old := clone(f.store.snap, nil)
	if _, err := f.RotateProject(t.Context(), acme, admin(acme)); err != nil {
		t.Fatal(err)
	}
	f.store.snap.Ring.Projects = old.Ring.Projects
	f.restart()
	if err := f.opens(acme, "erp"); !fault.Is(err, fault.Denied) {
		t.Errorf("the secret: %v", err)
	}
	if _, err := f.Set(t.Context(), f.write(acme, "new", canary2)); !fault.Is(err, fault.Denied) {
		t.Errorf("a new secret was put under the old project key: %v", err)
	}
}

func TestNewVersionsAreNotPutUnderAnOldTerm(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.now = f.now.AddDate(0, 0, 91)
	f.set(acme, "crm", canary2)
	k, err := f.Keys(acme)
	if err != nil || k.Term != 2 || k.Older != 1 || k.Versions != 2 {
		t.Errorf("%+v, %v", k, err)
	}
	f.restart()
	for _, ref := range []string{"erp", "crm"} {
		if err := f.opens(acme, ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
