package rotator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/program"
)

// Program is one of the operator's, from the server's own file.
type Program struct {
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"`
	Env  []string `json:"-"` // all of it
}

// Bounds of a program's run.
const (
	execTime   = 60 * time.Second
	maxWritten = 4 << 10
)

// execRotator asks a program. It is given one JSON object on its standard input:
//
//	{"v":1,"op":"apply","rotation":"rot_…","version":{"FIELD":"base64"},"before":{…},"admin":{…}}
//
// op is apply, try or delete; version is what it is about. It answers
// {"v":1,"result":"done"}, "refused" (nothing has changed) or "unknown", in one
// object and nothing else. It makes no value: those are made here and are stored
// before it is asked, so that apply can be repeated with the same ones.
type execRotator struct{}

func (execRotator) Create(context.Context, Job) (Made, error) { return Made{}, errNotOne("create") }

func (execRotator) Find(context.Context, Job) ([]string, error) { return nil, errNotOne("find") }

// Apply has the program tell the system the value.
func (execRotator) Apply(ctx context.Context, j Job) error { return ask(ctx, j, "apply") }

// Try has it try the value.
func (execRotator) Try(ctx context.Context, j Job) error { return ask(ctx, j, "try") }

// Delete has it take an old one away.
func (execRotator) Delete(ctx context.Context, j Job) error { return ask(ctx, j, "delete") }

func ask(ctx context.Context, j Job, op string) error {
	p, ok := j.Program(j.Rotator.Exec.Program)
	if !ok {
		return fault.New(fault.Unavailable, "the server knows no program of the name that the rotation has").
			WithHint("serve --rotator %s=FILE gives one its name", j.Rotator.Exec.Program)
	}
	path, err := program.Find(p.Path)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "the rotation's program", err)
	}
	in := request(j, op)
	defer clear(in)
	env := p.Env
	if env == nil {
		env = []string{} // nil would be our own
	}
	e := program.Run(ctx, program.Command{Path: path, Args: p.Args, Env: env, Time: execTime, Out: maxWritten, Said: maxWritten}, in)
	defer e.Wipe()
	if e.NoStart {
		return fault.New(fault.Unavailable, "the rotation's program can't be started")
	}
	if e.Out.Over || e.Late || e.Left || e.Lost || e.Exit != nil {
		return fault.New(fault.Unknown, "the rotation's program did not come to an end that says something")
	}
	return answered(e.Out.Bytes())
}

// answered reads a program's answer, of which nothing is repeated.
func answered(b []byte) error {
	var a struct {
		V      int    `json:"v"`
		Result string `json:"result"`
	}
	if !unique(b) || json.Unmarshal(b, &a) != nil || a.V != 1 {
		return fault.New(fault.Unknown, "the answer of the rotation's program can't be read")
	}
	switch a.Result {
	case "done":
		return nil
	case "refused":
		return fault.New(fault.Denied, "the rotation's program says that the system refuses")
	}
	return fault.New(fault.Unknown, "the rotation's program does not know what became of it")
}

// request is the JSON of one request, built where it can be wiped.
func request(j Job, op string) (b []byte) {
	size := 200
	for _, f := range []Fields{j.Version, j.Before, j.Admin} {
		for _, v := range f {
			size += 2*len(plain.Bytes(v)) + 64
		}
	}
	b = make([]byte, 0, size)
	plain.Do(func() {
		b = append(append(append(b, `{"v":1,"op":"`...), op...), `","rotation":"`...)
		b = append(append(b, j.Rotation...), '"')
		for _, part := range []struct {
			name string
			f    Fields
		}{{"version", j.Version}, {"before", j.Before}, {"admin", j.Admin}} {
			b = append(append(append(b, `,"`...), part.name...), `":{`...)
			for i, name := range slices.Sorted(maps.Keys(part.f)) {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(append(append(b, '"'), name...), `":"`...)
				b = append(base64.StdEncoding.AppendEncode(b, plain.Bytes(part.f[name])), '"')
			}
			b = append(b, '}')
		}
		b = append(b, '}', '\n')
	})
	return b
}
