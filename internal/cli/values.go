package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/secretfile"
)

// maxValue bounds what is read as a Secret's fields, in bytes.
const maxValue = 1 << 20

// values reads a Secret's fields from a file, from piped input or from prompts.
type values struct {
	fields []string
	file   string
}

func (v values) read(ctx context.Context, p *program) (map[string]string, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if v.file == "" && p.typing() {
		return v.prompt(ctx, p)
	}
	b, err := v.bytes(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(v.fields) == 1 {
		return v.complete(map[string]string{v.fields[0]: string(trimEnd(b))})
	}
	out := map[string]string{}
	d := json.NewDecoder(bytes.NewReader(b))
	switch {
	case secretfile.Twice(b):
		return nil, fault.New(fault.Invalid, "a field is in the JSON object twice").WithHint("one of the two would be lost: name each once")
	case d.Decode(&out) != nil || !errors.Is(d.Decode(&struct{}{}), io.EOF):
		return nil, fault.New(fault.Invalid, "the fields are not one JSON object of strings").
			WithHint(`several fields are read as {"%s": "…"}`, strings.Join(v.fields, `": "…", "`))
	}
	return v.complete(out)
}

// check refuses a value in the name of a field, without repeating it.
func (v values) check() error {
	seen := map[string]bool{}
	for _, f := range v.fields {
		switch {
		case strings.ContainsAny(f, "=: ") || len(f) > 40:
			return &usageError{"--field takes a field's name alone; a secret's value is never an argument", valuesGo}
		case f == "" || seen[f]:
			return &usageError{"a field is named twice, or not at all", ""}
		}
		seen[f] = true
	}
	return nil
}

func (v values) prompt(ctx context.Context, p *program) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range v.fields {
		b, err := p.askHidden(ctx, f)
		if err != nil {
			return nil, err
		}
		out[f] = string(b)
	}
	return v.complete(out)
}

func (v values) bytes(ctx context.Context, p *program) ([]byte, error) {
	if v.file == "" {
		return p.patiently(ctx, func() ([]byte, error) { return bounded(p.in) })
	}
	f, err := os.Open(v.file)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the file with the value can't be read").WithHint("check what follows --from-file")
	}
	b, err := bounded(f)
	return b, errors.Join(err, f.Close())
}

func bounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxValue+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(fault.Unavailable, "reading the value", err)
	case len(b) > maxValue:
		return nil, fault.Newf(fault.Invalid, "the value is larger than %d KiB", maxValue>>10)
	}
	return b, nil
}

// complete checks that there is a value for each field, and no other.
func (v values) complete(got map[string]string) (map[string]string, error) {
	for name, value := range got {
		if !slices.Contains(v.fields, name) {
			return nil, fault.New(fault.Invalid, "the input has a field that is not asked for").WithHint("name each with --field")
		}
		if value == "" {
			return nil, fault.Newf(fault.Invalid, "the field %s is empty", name)
		}
	}
	for _, f := range v.fields {
		if _, ok := got[f]; !ok {
			return nil, fault.Newf(fault.Invalid, "the field %s is missing", f)
		}
	}
	return got, nil
}
