package vault_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// Any sequence of key operations, interrupted anywhere: the write did not happen,
// or it did and nobody was told. After each, a start with any seal that the
// operator has been told of opens every Secret, and one that was removed opens
// nothing.
func TestAnySequenceOfKeyOperationsLeavesEverySecretUsable(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := &sequence{fixture: start(t), rng: rand.New(rand.NewPCG(seed, 7)), want: map[string]string{}}
			first, err := s.Seals()
			if err != nil {
				t.Fatal(err)
			}
			s.held = []ownedSeal{{first[0].ID, s.seal}}
			for range 25 {
				s.step()
				s.check()
			}
		})
	}
}

// ownedSeal is a seal that the operator has.
type ownedSeal struct {
	id   string
	seal kek.Seal
}

type sequence struct {
	*fixture
	rng  *rand.Rand
	held []ownedSeal
	gone []kek.Seal // removed for sure
	want map[string]string
}

// step does one operation, in one of three ways.
func (s *sequence) step() {
	s.t.Helper()
	crash := s.rng.IntN(3)
	switch crash {
	case 1:
		s.store.fail = errors.New("the disk is gone")
	case 2:
		s.store.lost = errors.New("the answer is gone")
	}
	err := s.operate()
	if crash > 0 && err == nil {
		s.t.Fatal("an operation whose write failed said that it happened")
	}
	if crash == 0 && err != nil {
		s.t.Fatal(err)
	}
	s.store.fail, s.store.lost = nil, nil
	s.seal = s.held[s.rng.IntN(len(s.held))].seal
	s.restart()
}

func (s *sequence) operate() error {
	ctx, who := context.Background(), admin(acme)
	switch s.rng.IntN(7) {
	case 0:
		seal := keyFileSeal(s.t)
		info, err := s.AddSeal(ctx, seal, who)
		if err == nil {
			s.held = append(s.held, ownedSeal{info.ID, seal})
		}
		return err
	case 1:
		if len(s.held) > 1 {
			return s.remove(who)
		}
	case 2:
		_, err := s.RotateRoot(ctx, who)
		return err
	case 3, 4:
		if len(s.want) == 0 {
			break
		}
		if s.rng.IntN(2) == 0 {
			_, err := s.RotateProject(ctx, acme, who)
			return err
		}
		_, err := s.RotateData(ctx, acme, who)
		return err
	}
	name := fmt.Sprintf("secret-%d", s.rng.IntN(4))
	value := fmt.Sprintf("cnry-%d-%d", s.rng.Uint64(), s.rng.Uint64())
	_, known := s.want[name]
	write, put := s.write(acme, name, value), s.Set
	if known {
		put = s.Rotate
	}
	before := len(s.store.snap.Versions)
	_, err := put(ctx, write)
	if len(s.store.snap.Versions) > before { // told or not, it happened
		s.want[name] = value
	}
	return err
}

func (s *sequence) remove(who ident.Principal) error {
	i := s.rng.IntN(len(s.held))
	h := s.held[i]
	err := s.RemoveSeal(context.Background(), h.id, who)
	if !slices.ContainsFunc(s.store.snap.Ring.Seals, func(r vault.SealRow) bool { return r.ID == h.id }) { // told or not, it happened
		s.held, s.gone = slices.Delete(s.held, i, i+1), append(s.gone, h.seal)
	}
	return err
}

func (s *sequence) check() {
	s.t.Helper()
	for _, h := range s.held {
		if err := s.opensBy(h.seal); err != nil {
			s.t.Fatalf("a seal that the operator has: %v", err)
		}
	}
	for _, seal := range s.gone {
		if err := s.opensBy(seal); !fault.Is(err, fault.Denied) {
			s.t.Fatalf("a removed seal: %v", err)
		}
	}
	for name, want := range s.want {
		if s.call(spec(acme, name)) != "Bearer "+want {
			s.t.Fatalf("%s does not work", name)
		}
	}
}
