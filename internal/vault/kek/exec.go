package kek

import (
	"bytes"
	"context"
	"encoding/base64"
	"path/filepath"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/program"
)

// ExecConfig says which program wraps and unwraps, by the contract in
// docs/seals.md.
type ExecConfig struct {
	// Path is absolute. The program, and the directories above it, belong to
	// root or to the server's user, and nobody else can change them.
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"`
	// Env is the program's whole environment. It is no place for secrets: what
	// the program needs of these it reads from a file of its own.
	Env map[string]string `json:"env,omitempty"`
}

// ReadExecConfig reads it from a file with one JSON object. Unknown and repeated
// members are Invalid, and so is a file that others can change: Denied.
func ReadExecConfig(path string) (ExecConfig, error) {
	var c ExecConfig
	return c, readConfig(path, &c)
}

// Exec is a seal by another program: one process for each operation, a request
// on its standard input, an answer on its standard output. It is how PKCS#11
// modules, cloud key services and TPMs are used without their libraries in here.
type Exec struct {
	cfg ExecConfig
	env []string
}

// NewExec checks the configuration and the program's file. It starts nothing.
func NewExec(c ExecConfig) (*Exec, error) {
	if !filepath.IsAbs(c.Path) || filepath.Clean(c.Path) != c.Path {
		return nil, fault.New(fault.Invalid, "the path of the seal's program is not absolute and plain").
			WithHint("write it like /usr/local/libexec/seal-plugin")
	}
	e := &Exec{cfg: c, env: []string{}} // not nil: that would be our own
	for name, value := range c.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, fault.New(fault.Invalid, "the environment of the seal's program has a name or a value that can't be given")
		}
		e.env = append(e.env, name+"="+value)
	}
	slices.Sort(e.env)
	for _, a := range c.Args {
		if strings.Contains(a, "\x00") {
			return nil, fault.New(fault.Invalid, "an argument of the seal's program can't be given")
		}
	}
	_, err := e.program()
	return e, err
}

// Kind is [KindExec].
func (*Exec) Kind() Kind { return KindExec }

// Wrap asks the program for its key's id, then has it wrap. It refuses a program
// that would unwrap the result as something else than what it is.
func (e *Exec) Wrap(ctx context.Context, aad box.AAD, root plain.Value) (Sealed, error) {
	id, err := e.ask(ctx, "id", nil, nil)
	if err != nil {
		return Sealed{}, err
	}
	s := Sealed{Kind: KindExec, ID: id.ID}
	wrapped, err := e.ask(ctx, "wrap", bind(aad, s), plain.Bytes(root))
	if err != nil {
		return Sealed{}, err
	}
	if wrapped.ID != s.ID {
		return Sealed{}, fault.New(fault.Invalid, "the seal's program wrapped with another key than the one whose id it gave")
	}
	if s.Box = wrapped.Ciphertext; bytes.Contains(s.Box, plain.Bytes(root)) {
		return Sealed{}, fault.New(fault.Invalid, "the seal's program gave the plaintext back as the ciphertext")
	}
	elsewhere, err := e.unwrap(ctx, box.Bind("another vault", string(aad)), s)
	plain.Wipe(elsewhere)
	if err == nil {
		return Sealed{}, fault.New(fault.Invalid, "the seal's program does not bind what it wraps to the associated data").
			WithHint(`it has to answer with an error of the kind "denied" when the aad is another one than at wrap`)
	}
	if !fault.Is(err, fault.Denied) {
		return Sealed{}, err
	}
	return s, nil
}

// Unwrap has the program unwrap.
func (e *Exec) Unwrap(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	return e.unwrap(ctx, bind(aad, s), s)
}

func (e *Exec) unwrap(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	if len(s.Box) == 0 || len(s.Box) > maxWrapped {
		return plain.Value{}, fault.New(fault.Invalid, "what is stored under the seal's program has no possible length")
	}
	a, err := e.ask(ctx, "unwrap", aad, s.Box)
	if err != nil {
		return plain.Value{}, err
	}
	v := plain.New(a.Plaintext)
	if a.ID != s.ID {
		plain.Wipe(v)
		return plain.Value{}, fault.New(fault.Denied, "the key of the seal's program is not the one that the vault was sealed with").
			WithHint("the vault wants the key with the id %s", fault.Quote(s.ID))
	}
	return v, nil
}

// program gives the file to start.
func (e *Exec) program() (string, error) {
	path, err := program.Find(e.cfg.Path)
	if err != nil {
		return "", fault.Wrap(fault.KindOf(err), "the seal's program", err)
	}
	return path, nil
}

// execRequest is a request's JSON, built where it can be wiped.
func execRequest(op string, aad box.AAD, payload []byte) (b []byte) {
	b = make([]byte, 0, 2*(len(aad)+len(payload))+100)
	plain.Do(func() {
		b = append(append(append(b, `{"v":1,"op":"`...), op...), '"')
		if op != "id" {
			b = append(b, `,"aad":"`...)
			b = base64.StdEncoding.AppendEncode(b, aad)
			member := map[string]string{"wrap": "plaintext", "unwrap": "ciphertext"}[op]
			b = append(append(append(b, `","`...), member...), `":"`...)
			b = append(base64.StdEncoding.AppendEncode(b, payload), '"')
		}
		b = append(b, '}', '\n')
	})
	return b
}
