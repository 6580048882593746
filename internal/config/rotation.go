package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"

	"github.com/goccy/go-yaml"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// maxRotation bounds a file on one Secret's rotation.
const maxRotation = 64 << 10

// LoadRotation reads how a Secret is rotated, YAML or JSON, one document with known
// fields only. Kind Invalid. It holds no secret: names of Secrets alone.
func LoadRotation(name string) (resource.Rotation, error) {
	f, err := os.Open(name)
	if err != nil {
		return resource.Rotation{}, fault.Newf(fault.Invalid, "%s can't be opened", fault.Quote(name))
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxRotation+1))
	if err != nil || len(b) > maxRotation {
		return resource.Rotation{}, fault.Newf(fault.Invalid, "%s can't be read, or has more than %d bytes", fault.Quote(name), maxRotation)
	}
	return ParseRotation(b)
}

// anchor is where YAML repeats a part of itself, by which a short file becomes a
// giant one.
var anchor = regexp.MustCompile(`(^|[\s\[,{:-])[&*][A-Za-z0-9_]`)

// ParseRotation reads what LoadRotation has of a file.
func ParseRotation(b []byte) (out resource.Rotation, err error) {
	if anchor.Match(b) {
		return out, fault.New(fault.Invalid, "the rotation policy has anchors or aliases, which are not taken")
	}
	docs := yaml.NewDecoder(bytes.NewReader(b))
	var first, second any
	if err := docs.Decode(&first); err != nil || !errors.Is(docs.Decode(&second), io.EOF) {
		return out, fault.New(fault.Invalid, "the rotation policy is not one document of YAML").WithHint("docs/rotation.md has examples")
	}
	j, err := yaml.YAMLToJSON(b)
	if err != nil {
		return out, fault.New(fault.Invalid, "the rotation policy is no YAML").WithHint("docs/rotation.md has examples")
	}
	d := json.NewDecoder(bytes.NewReader(j))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		return out, fault.New(fault.Invalid, "the rotation policy has an unknown field, or one of the wrong type: "+fault.Quote(err.Error())).
			WithHint("docs/rotation.md has every field")
	}
	if _, err := d.Token(); err != io.EOF {
		return out, fault.New(fault.Invalid, "the rotation policy is not one document")
	}
	return out, out.Check()
}
