package config

import (
	"io"
	"os"
	"path/filepath"
	"reflect"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// maxRotation bounds a file on one Secret's rotation.
const maxRotation = 64 << 10

// LoadRotation reads how a Secret is rotated, YAML or JSON, one document with known
// fields only. Kind Invalid, with file, line and column where it is about the form. It
// holds no secret: names of Secrets alone.
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
	return rotationFrom(filepath.Base(name), b)
}

// ParseRotation reads what LoadRotation has of a file.
func ParseRotation(b []byte) (resource.Rotation, error) { return rotationFrom("policy", b) }

// rotationFrom joins an [*Error] for everything that is wrong with the form; then
// what the values mean is checked.
func rotationFrom(file string, b []byte) (out resource.Rotation, err error) {
	l := newLoader(Options{})
	docs := (&reader{report: l.report, file: file, policy: true}).read(b)
	if len(docs) != 1 && len(l.errs) == 0 {
		l.addf(place{file: file}, "it is not one document")
	}
	if len(docs) == 1 {
		d := &decoder{report: l.report, places: places{}, whole: reflect.TypeOf(out)}
		d.decode(docs[0], reflect.ValueOf(&out).Elem(), "")
	}
	if err := l.err(); err != nil {
		return resource.Rotation{}, err
	}
	return out, out.Check()
}
