package kek

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/program"
)

// maxConfig is the most bytes of a seal's configuration.
const maxConfig = 64 << 10

// readConfig reads a seal's configuration, which says where keys are sent or
// which program gets them: a regular file that nobody but root or we can change or
// put another one in the place of. Links are followed first, so that what was
// checked is what is read.
func readConfig(path string, into any) error {
	b, err := readOurs(path)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "reading the seal's configuration", err)
	}
	if err := decodeStrict(b, into); err != nil {
		return &fault.Error{Kind: fault.Invalid, Msg: "the seal's configuration " + fault.Quote(path), Err: err, Hint: "docs/seals.md has an example"}
	}
	return nil
}

// readOurs reads a configuration that is ours all the way down to it.
func readOurs(path string) ([]byte, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s is not a file that can be read", fault.Quote(path))
	}
	b, err := readSmall(real, maxConfig, 0o022)
	if err != nil {
		return nil, err
	}
	return b, program.Unwritable(real)
}

// readSmall reads a regular file of at most limit bytes, and refuses one whose
// mode has any of the forbidden bits. The caller wipes what is secret.
func readSmall(path string, limit int64, forbidden fs.FileMode) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a pipe would wait
	if err != nil || !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.Unavailable, "%s is not a file that can be read", fault.Quote(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s can't be read", fault.Quote(path))
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err = file.Stat()
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s can't be looked at", fault.Quote(path))
	}
	if info.Mode().Perm()&forbidden != 0 {
		return nil, fault.Newf(fault.Denied, "%s can be used by others (mode %04o)", fault.Quote(path), info.Mode().Perm()).
			WithHint("chmod 600 it")
	}
	b, err := readAll(file, limit)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "reading "+fault.Quote(path), err)
	}
	return b, nil
}

// readAll reads all of r into one buffer: no copy of a secret is left behind by
// growing. Limit: there is more. The caller wipes the result.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, n := make([]byte, limit+1), 0
	for n < len(b) {
		more, err := r.Read(b[n:])
		n += more
		if err == io.EOF { // alone and itself: an answer that was cut is io.ErrUnexpectedEOF
			return b[:n], nil
		}
		if err != nil {
			clear(b)
			return nil, fault.New(fault.Unavailable, "it ended early or took too long")
		}
	}
	clear(b)
	return nil, fault.Newf(fault.Limit, "it is longer than %d bytes", limit)
}

// decodeStrict reads one JSON object: no unknown or repeated members, nothing
// after it. Its errors repeat nothing of b.
func decodeStrict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.Invalid, "it is not the JSON object that is expected, or has members that are not known")
	}
	if _, err := d.Token(); err != io.EOF {
		return fault.New(fault.Invalid, "something follows its JSON object")
	}
	if repeats(json.NewDecoder(bytes.NewReader(b))) {
		return fault.New(fault.Invalid, "one of its members is there twice")
	}
	return nil
}

// repeats reports whether the next value has an object with one name twice, in
// any case: encoding/json takes the last, another reader the first. It is asked
// only where all names are known, so that there are few of them.
func repeats(d *json.Decoder) bool {
	t, err := d.Token()
	open, ok := t.(json.Delim)
	if err != nil || !ok {
		return false
	}
	var names []string
	for d.More() {
		if open == '{' {
			t, _ := d.Token()
			name, _ := t.(string)
			for _, n := range names {
				if strings.EqualFold(n, name) {
					return true
				}
			}
			names = append(names, name)
		}
		if repeats(d) {
			return true
		}
	}
	_, _ = d.Token() // its end; what was decoded before has one
	return false
}
