package audit_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
)

// verifier is the one that was written from the specifications alone, in another
// language.
const verifier = "../../docs/verify/verify.py"

// python runs it. It gives the kinds of what it found, each once.
func python(t *testing.T, args ...string) (found []string) {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, append([]string{"-I", verifier}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	for line := range strings.Lines(out.String()) {
		if kind, _, _ := strings.Cut(line, " "); cmd.ProcessState.ExitCode() == 1 {
			found = append(found, kind)
		}
	}
	if code := cmd.ProcessState.ExitCode(); code > 1 || code == 1 && len(found) == 0 || code == 0 && !strings.Contains(out.String(), "ok: ") {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// write puts saved files into a directory.
func (f files) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, path, b)
	}
	return dir
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// both verifies saved files with the two verifiers, which have to find the same
// kinds of things, and gives them.
func both(t *testing.T, f files, o audit.VerifyOptions, anchor []byte) []string {
	t.Helper()
	args := []string{"log", f.write(t), "--quorum", strconv.Itoa(o.Quorum)}
	if o.VerifierKey != "" {
		args = append(args, "--key", o.VerifierKey)
	}
	if o.KeptCheckpoint != nil {
		path := filepath.Join(t.TempDir(), "kept")
		put(t, path, o.KeptCheckpoint)
		args = append(args, "--checkpoint", path)
	}
	if anchor != nil {
		path := filepath.Join(t.TempDir(), "anchor")
		put(t, path, anchor)
		args = append(args, "--anchor", path)
		o.Anchors = audit.ParseAnchor(anchor)
	}
	for _, w := range o.Witnesses {
		args = append(args, "--witness", w.String())
	}
	theirs := python(t, args...)
	var ours []string
	for _, x := range verifyTiles(t, f, o).Findings() {
		ours = append(ours, string(x.Kind))
	}
	slices.Sort(ours)
	if ours = slices.Compact(ours); !slices.Equal(ours, theirs) {
		t.Errorf("we found %v, the independent verifier %v", ours, theirs)
	}
	return ours
}

func TestTheIndependentVerifierAgreesOnSpoiledTiles(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 700)
	o := audit.VerifyOptions{VerifierKey: m.logs["acme"].head.Verifier}
	good := saved(t, m)
	if got := both(t, good, o, nil); len(got) > 0 {
		t.Fatal(got)
	}
	for name, c := range spoils {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := files{}
			for path, b := range good {
				f[path] = bytes.Clone(b)
			}
			c.spoil(f)
			if got := both(t, f, o, nil); !slices.Contains(got, string(c.want)) {
				t.Errorf("found %v, want %s", got, c.want)
			}
		})
	}
}

func TestTheIndependentVerifierAgreesOnForksAndKeys(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 40)
	kept := m.logs["acme"].head
	rotate(t, seq, m)
	grown(t, seq, m, 300)
	now := m.logs["acme"].head
	anchor := slices.Concat(audit.AnchorLine("2026-11-23T12:00:00Z", kept.Checkpoint), audit.AnchorLine("2026-11-23T12:01:00Z", now.Checkpoint))
	a, b := newWitness("a.example"), newWitness("b.example")
	witnesses := []audit.Witness{a.verifier(t), b.verifier(t)}
	cosigned := func(m *memory, by ...witness) *memory {
		out := m.clone()
		l := out.logs["acme"]
		l.cosigned = l.head.Checkpoint
		for _, w := range by {
			l.cosigned = w.cosign(l.cosigned, 1_800_000_000)
		}
		out.logs["acme"] = l
		return out
	}
	shorter, fork := newMemory(), newMemory()
	grown(t, sequencer(t), shorter, 30)
	grown(t, sequencer(t), fork, 10)
	if err := fork.do(sequencer(t), one(ended("acme", 777))); err != nil {
		t.Fatal(err)
	}
	grown(t, sequencer(t), fork, 300)
	first := kept.Verifier
	for name, c := range map[string]struct {
		m      *memory
		o      audit.VerifyOptions
		anchor []byte
		want   string // kinds, joined
	}{
		"good":                        {m, audit.VerifyOptions{VerifierKey: first, KeptCheckpoint: kept.Checkpoint}, anchor, ""},
		"good, by the second key":     {m, audit.VerifyOptions{VerifierKey: now.Verifier, KeptCheckpoint: now.Checkpoint}, nil, ""},
		"good, without a key":         {m, audit.VerifyOptions{}, nil, ""},
		"cosigned by both":            {cosigned(m, a, b), audit.VerifyOptions{VerifierKey: first, Witnesses: witnesses, Quorum: 2}, nil, ""},
		"cosigned by one of two":      {cosigned(m, a), audit.VerifyOptions{VerifierKey: first, Witnesses: witnesses, Quorum: 2}, nil, "witnesses-missing"},
		"cosigned by nobody":          {m, audit.VerifyOptions{VerifierKey: first, Witnesses: witnesses, Quorum: 1}, nil, "witnesses-missing"},
		"cut and signed again":        {shorter, audit.VerifyOptions{VerifierKey: first, KeptCheckpoint: kept.Checkpoint}, nil, "truncated"},
		"cut, found by the anchor":    {shorter, audit.VerifyOptions{VerifierKey: first}, anchor[:bytes.IndexByte(anchor, '\n')+1], "truncated"},
		"a fork, signed again":        {fork, audit.VerifyOptions{VerifierKey: first, KeptCheckpoint: kept.Checkpoint}, nil, "forked"},
		"a fork, found by the anchor": {fork, audit.VerifyOptions{VerifierKey: first}, anchor, "forked kept-unverifiable"},
		"an anchor that is garbled":   {m, audit.VerifyOptions{VerifierKey: first}, append(bytes.Clone(anchor), "garbage\n"...), "anchor-malformed"},
		"an anchor whose end is torn": {m, audit.VerifyOptions{VerifierKey: first}, append(bytes.Clone(anchor), "{\"at\":"...), ""},
		"another log's key":           {m, audit.VerifyOptions{VerifierKey: otherKey(t)}, nil, "key-changed"},
		"a handover by nobody": {forge(t, m, 40, func(e *audit.Event) {
			e.Fields["handover"] = strings.Replace(e.Fields["handover"].(string), "\n40\n", "\n41\n", 1)
		}, 1), audit.VerifyOptions{VerifierKey: first}, nil, "checkpoint-bad handover-bad key-changed"},
		"an hour back":  {forge(t, m, 60, func(e *audit.Event) { e.At = e.At.Add(-time.Hour) }, 1), audit.VerifyOptions{VerifierKey: first}, nil, "clock-back"},
		"an hour ahead": {forge(t, m, 60, func(e *audit.Event) { e.At = e.At.Add(time.Hour) }, 1), audit.VerifyOptions{VerifierKey: first}, nil, "clock-back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := both(t, saved(t, c.m), c.o, c.anchor)
			if c.want == "checkpoint-bad handover-bad key-changed" { // what follows from it is not the point
				c.want, got = "handover-bad", slices.DeleteFunc(got, func(k string) bool { return k != "handover-bad" })
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("found %v, want %q", got, c.want)
			}
		})
	}
}

// otherKey is a key of the same name that nobody has handed anything over to.
func otherKey(t *testing.T) string {
	t.Helper()
	_, key := signed(t, 99, 1, [32]byte{})
	return key
}

func TestTheIndependentVerifierAgreesOnReceipts(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 300)
	first := m.logs["acme"].head.Verifier
	rotate(t, seq, m)
	grown(t, seq, m, 333)
	l := m.logs["acme"]
	w := newWitness("w.example")
	l.cosigned = w.cosign(l.head.Checkpoint, 1_800_000_000)
	m.logs["acme"] = l
	good := string(prove(t, m, 299).Marshal())
	bad := map[string]string{
		"good": good, "empty": "", "another index": strings.Replace(good, "index 299", "index 298", 1), "a garbled size": strings.Replace(good, "\n333\n", "\n334\n", 1),
		"a hash less": withoutAHash(good), "no handover": string(func() []byte { r := prove(t, m, 299); r.Handovers = nil; return r.Marshal() }()),
		"an index in two forms": strings.Replace(good, "index 299", "index 0299", 1), "the first": string(prove(t, m, 0).Marshal()), "the last": string(prove(t, m, 332).Marshal()),
		"another's entry":     string(func() []byte { r := prove(t, m, 299); r.Entry = prove(t, m, 298).Entry; return r.Marshal() }()),
		"a wrong cosignature": strings.Replace(good, "— w.example ", "— w.example A", 1),
	}
	for i := range 16 {
		b := []byte(good)
		b[i*len(b)/16] ^= 1 << (i % 7)
		bad["flipped at "+strconv.Itoa(i*len(b)/16)] = string(b)
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "receipt")
			put(t, path, []byte(bad[name]))
			theirs := python(t, "receipt", path, "--key", first, "--witness", w.vkey(), "--quorum", "1")
			p, err := audit.VerifyReceipt([]byte(bad[name]), audit.ReceiptOptions{VerifierKey: first, Witnesses: []audit.Witness{w.verifier(t)}, Quorum: 1})
			if err != nil {
				t.Fatal(err)
			}
			var ours []string
			for _, f := range p.Findings {
				ours = append(ours, string(f.Kind))
			}
			if fine := slices.Contains([]string{"good", "the first", "the last"}, name); !slices.Equal(ours, theirs) || fine != (len(ours) == 0) {
				t.Errorf("we found %v, the independent verifier %v", ours, theirs)
			}
		})
	}
}

// withoutAHash takes the first hash out of a receipt.
func withoutAHash(s string) string {
	i := strings.Index(s, "index 299\n") + len("index 299\n")
	return s[:i] + s[i+strings.IndexByte(s[i:], '\n')+1:]
}
