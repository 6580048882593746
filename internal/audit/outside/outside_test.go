package outside_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
)

func known(t testing.TB, ws ...*witness) (out []audit.Witness) {
	t.Helper()
	for _, w := range ws {
		k, err := audit.ParseWitness(w.vkey())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	return out
}

func TestWitnessesCosignWhatContinues(t *testing.T) {
	m := newMemory(t)
	m.grow(5)
	a, b := newWitness(t, "a.example", m.head.Verifier), newWitness(t, "b.example", m.head.Verifier)
	c := outside.Config{Store: m, Witnesses: []*outside.Witness{a.client(t), b.client(t)}, Quorum: 2}
	k := keeper(t, c)
	for _, n := range []int{0, 1, 7, 300} {
		if n > 0 {
			m.grow(n)
		}
		round(t, k)
		cp, cs, err := audit.OpenCosigned(m.cosigned, m.head.Verifier, known(t, a, b))
		if err != nil || cp.Size != m.head.Size || len(cs) != 2 {
			t.Fatalf("%d entries: %+v, %d cosignatures, %v", m.head.Size, cp, len(cs), err)
		}
	}
	asked := a.asked
	if round(t, k); a.asked != asked {
		t.Error("a witness that has everything was asked again")
	}
	// After a restart nothing is known of the witnesses: they say where they are.
	m.grow(3)
	k = keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{a.client(t), b.client(t)}, Quorum: 2})
	round(t, k)
	if cp, _, err := audit.OpenCosigned(m.cosigned, m.head.Verifier, known(t, a, b)); err != nil || cp.Size != m.head.Size {
		t.Errorf("%+v, %v", cp, err)
	}
	for _, s := range k.Status() {
		if s.State != outside.OK || s.Size != m.head.Size {
			t.Errorf("%+v", s)
		}
	}
	if got := m.types(); len(got) > 0 {
		t.Errorf("all was well, and it was recorded that %v", got)
	}
}

func TestAWitnessThatFailsStopsNothingAndIsOnTheRecordOnce(t *testing.T) {
	m := newMemory(t)
	m.grow(5)
	a, b := newWitness(t, "a.example", m.head.Verifier), newWitness(t, "b.example", m.head.Verifier)
	k := keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{a.client(t), b.client(t)}, Quorum: 2})
	down := func(int, string) (int, string) { return http.StatusBadGateway, "" }
	set := func(f func(int, string) (int, string)) {
		b.mu.Lock()
		b.spoil = f
		b.mu.Unlock()
	}
	set(down)
	for range 3 {
		round(t, k)
		m.grow(1)
	}
	if m.cosigned != nil {
		t.Error("one of two was enough")
	}
	set(nil)
	for range 3 {
		round(t, k)
		m.grow(1)
	}
	if got := m.types(); !slices.Equal(got, []string{"cosigning.lost", "cosigning.back"}) {
		t.Errorf("recorded: %v", got)
	}
	if m.cosigned == nil {
		t.Error("it was not made up for")
	}
}

func TestAForkIsNotCosigned(t *testing.T) {
	m := newMemory(t)
	m.grow(9)
	w := newWitness(t, "w.example", m.head.Verifier)
	round(t, keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{w.client(t)}, Quorum: 1}))
	for name, c := range map[string]struct {
		size int
		want string
	}{"cut and signed again": {4, "was put back"}, "of the same size": {9, "does not continue"}, "longer": {20, "does not continue"}} {
		t.Run(name, func(t *testing.T) {
			fork := newMemory(t)
			fork.do(func(b *audit.Batch) error {
				_, err := b.Append(audit.Event{Type: audit.RunStarted, Tenant: "acme", At: noon, Actor: "system:engine"})
				return err
			})
			fork.grow(c.size - 1)
			k := keeper(t, outside.Config{Store: fork, Witnesses: []*outside.Witness{w.client(t)}, Quorum: 1})
			round(t, k)
			if s := k.Status()[0]; s.State != outside.Failing || !strings.Contains(s.Why, c.want) || fork.cosigned != nil {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestAnAnswerThatIsNotTheWitnessesCountsNothing(t *testing.T) {
	m := newMemory(t)
	m.grow(6)
	other := newWitness(t, "w.example.other")
	for name, spoil := range map[string]func(int, string) (int, string){
		"nothing":     func(int, string) (int, string) { return 200, "" },
		"another key": func(int, string) (int, string) { return 200, other.line("x", 9) },
		"another key in its name": func(_ int, s string) (int, string) {
			return 200, strings.Replace(other.line(s, 9), other.name, "w.example", 1)
		},
		"a flipped bit":             func(_ int, s string) (int, string) { return 200, s[:40] + string(s[40]^1) + s[41:] },
		"no end":                    func(_ int, s string) (int, string) { return 200, strings.TrimSuffix(s, "\n") },
		"text before it":            func(_ int, s string) (int, string) { return 200, "\n\n" + s[:len(s)-2] },
		"megabytes":                 func(int, string) (int, string) { return 200, strings.Repeat("x", 1<<20) },
		"a size that never fits":    func(int, string) (int, string) { return 409, "3\n" },
		"a size that is none":       func(int, string) (int, string) { return 409, "-1\n" },
		"a size in two forms":       func(int, string) (int, string) { return 409, "03\n" },
		"a size without an end":     func(int, string) (int, string) { return 409, "3" },
		"somewhere else":            func(int, string) (int, string) { return 302, "" },
		"a log that is not known":   func(int, string) (int, string) { return 404, "" },
		"a key that is not known":   func(int, string) (int, string) { return 403, "" },
		"a request that is refused": func(int, string) (int, string) { return 400, "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWitness(t, "w.example", m.head.Verifier)
			w.spoil = spoil
			mine := newMemory(t)
			mine.grow(6)
			k := keeper(t, outside.Config{Store: mine, Witnesses: []*outside.Witness{w.client(t)}, Quorum: 1})
			round(t, k)
			if s := k.Status()[0]; s.State != outside.Failing || s.Why == "" || mine.cosigned != nil {
				t.Errorf("%+v", s)
			}
			if w.asked > 3 {
				t.Errorf("it was asked %d times", w.asked)
			}
		})
	}
}

func TestAfterARotationTheWitnessIsToldTheNewKey(t *testing.T) {
	m := newMemory(t)
	m.grow(5)
	w := newWitness(t, "w.example", m.head.Verifier)
	k := keeper(t, outside.Config{Store: m, Witnesses: []*outside.Witness{w.client(t)}, Quorum: 1})
	round(t, k)
	m.do(func(b *audit.Batch) error {
		_, err := b.RotateKey(audit.Event{Tenant: "acme", At: noon, Actor: "person:acc_1"})
		return err
	})
	round(t, k) // signed by both
	if s := k.Status()[0]; s.State != outside.OK {
		t.Errorf("%+v", s)
	}
	m.grow(1)
	round(t, k)
	if s := k.Status()[0]; s.State != outside.Failing || !strings.Contains(s.Why, "does not know") {
		t.Errorf("%+v", s)
	}
	w.trust(t, m.head.Verifier)
	round(t, k)
	if s := k.Status()[0]; s.State != outside.OK {
		t.Errorf("%+v", s)
	}
}

func TestWhereAWitnessCanNotBe(t *testing.T) {
	w := newWitness(t, "w.example")
	for _, at := range []string{"", "http://witness.example.com", "https://u:p@witness.example.com", "ftp://127.0.0.1", "https://w.example/?q", "https://w.example/#f", "https://"} {
		if _, err := outside.NewWitness(at, w.vkey()); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", at, err)
		}
	}
	if _, err := outside.NewWitness("https://w.example/x/", "nonsense"); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	for _, c := range []outside.Config{
		{Witnesses: []*outside.Witness{w.client(t), w.client(t)}},
		{Witnesses: []*outside.Witness{w.client(t)}, Quorum: 2},
	} {
		if _, err := outside.New(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	m := newMemory(f)
	m.grow(3)
	w := newWitness(f, "w.example", m.head.Verifier)
	text, _, _ := strings.Cut(string(m.head.Checkpoint), "\n\n")
	good := w.line(text+"\n", 1_800_000_000)
	f.Add([]byte(good))
	f.Add([]byte(good + good))
	f.Add([]byte("— w.example AAAA\n"))
	f.Add([]byte("— other.example AAAA\n" + good))
	f.Add([]byte("\n\n" + good))
	f.Add([]byte(strings.Replace(good, "A==\n", "B==\n", 1))) // other bits that base64 does not use
	f.Add([]byte("— w.example Su+/vgAAAABrSdIAGBEmyY2f+jV6/s3hCq8jw6oiVl2LvnErxESudgitKhI28XJy+sApmKyp7ya2VnUQ43DB5yeZjaD2KP4TCXWACX==\n"))
	c := w.client(f)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if line, err := c.Open(m.head, answer); err == nil && line != good {
			t.Errorf("%q is taken for the witness's line", line)
		}
	})
}
