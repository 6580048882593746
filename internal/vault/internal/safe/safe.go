// Package safe reads what the vault's own configuration and credentials are in: files
// that nobody else can change or read, and JSON that can be read in one way only.
//
// It refuses a file that others could put something else in the place of, one with
// the wrong mode, what is longer than it may be, and members that are unknown or
// there twice.
//
// # Security
//
// Its errors repeat nothing of what was read. What may be a secret is read into one
// buffer that the caller wipes: no copy of it is left behind by growing.
package safe

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sallyport.dev/internal/fault"
)

// Ours reports whether a file belongs to root or to the user that runs us:
// nobody else can change its mode.
func Ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int64(s.Uid) == int64(os.Geteuid()))
}

// Unwritable refuses a path that other users could put something else at: each
// directory above it, and it itself, belongs to root or to us and is writable by
// its owner only. A directory with the sticky bit (/tmp) may be open to all,
// since what is in it and belongs to us stays ours.
func Unwritable(path string) error {
	for p, first := path, true; ; p, first = filepath.Dir(p), false {
		info, err := os.Lstat(p)
		if err != nil {
			return fault.Newf(fault.Unavailable, "%s can't be looked at", fault.Quote(p))
		}
		sticky := !first && info.Mode()&fs.ModeSticky != 0
		if !Ours(info) || info.Mode().Perm()&0o022 != 0 && !sticky {
			return fault.Newf(fault.Denied, "%s can be changed by other users", fault.Quote(p)).
				WithHint("make it and the directories above it belong to root, writable by their owner only")
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// maxConfig is the most bytes of a configuration.
const maxConfig = 64 << 10

// Config reads a configuration, which says where keys are sent or which program gets
// them: a regular file that is ours all the way down to it.
func Config(path string) ([]byte, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s is not a file that can be read", fault.Quote(path))
	}
	b, err := File(real, maxConfig, 0o022)
	if err != nil {
		return nil, err
	}
	return b, Unwritable(real)
}

// File reads a regular file of at most limit bytes, and refuses one whose
// mode has any of the forbidden bits. The caller wipes what is secret.
func File(path string, limit int64, forbidden fs.FileMode) ([]byte, error) {
	return file(path, limit, func(info fs.FileInfo) error {
		if info.Mode().Perm()&forbidden != 0 {
			return fault.Newf(fault.Denied, "%s can be used by others (mode %04o)", fault.Quote(path), info.Mode().Perm()).
				WithHint("chmod 600 it")
		}
		return nil
	})
}

// Secret reads a file with something secret, of at most limit bytes; see [Private].
// The caller wipes the result.
func Secret(path string, limit int64) ([]byte, error) {
	return file(path, limit, func(info fs.FileInfo) error { return Private(path, info, whoWeAre()) })
}

// User is who runs a process.
type User struct {
	ID     int
	Groups []int // the effective one, and the others
}

func whoWeAre() User {
	groups, _ := os.Getgroups() // where they can't be had, there are no others
	return User{os.Geteuid(), append(groups, os.Getegid())}
}

// Private refuses a file that somebody else than root and the user can read: one that
// belongs to another user, who may also change its mode, is open to all, or to a
// group that the user is not in. One of the user's own groups may read it, as
// Kubernetes has it and the agents of key servers. Denied.
func Private(path string, info fs.FileInfo, who User) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	perm := info.Mode().Perm()
	switch {
	case !ok || s.Uid != 0 && int64(s.Uid) != int64(who.ID):
		return fault.Newf(fault.Denied, "%s belongs to another user", fault.Quote(path)).
			WithHint("it has to belong to the server's user or root: chown it, and chmod 600 it")
	case perm&0o027 != 0:
		return fault.Newf(fault.Denied, "%s can be used by others (mode %04o)", fault.Quote(path), perm).
			WithHint("chmod 600 it")
	case perm&0o040 != 0 && !slices.Contains(who.Groups, int(s.Gid)):
		return fault.Newf(fault.Denied, "%s can be read by a group that the server's user is not in (mode %04o)", fault.Quote(path), perm).
			WithHint("chmod 600 it, or chgrp it")
	}
	return nil
}

// file reads a regular file that is fine.
func file(path string, limit int64, fine func(fs.FileInfo) error) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a pipe would wait
	if err != nil || !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.Unavailable, "%s is not a file that can be read", fault.Quote(path)).WithHint("%s", whole(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s can't be read", fault.Quote(path)).WithHint("%s", whole(path))
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err = file.Stat()
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "%s can't be looked at", fault.Quote(path))
	}
	if err := fine(info); err != nil {
		return nil, err
	}
	b, err := All(file, limit)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "reading "+fault.Quote(path), err)
	}
	return b, nil
}

// whole says which file is meant: a relative path begins where the server was started,
// and a long one is cut in the error.
func whole(path string) string {
	full, err := filepath.Abs(path)
	if err != nil || full == path && fault.Quote(path) == path {
		return "put it there, readable by the server's user"
	}
	return "it is looked for at " + full
}

// All reads all of r into one buffer: no copy of a secret is left behind by
// growing. Limit: there is more. The caller wipes the result.
func All(r io.Reader, limit int64) ([]byte, error) {
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

// Strict reads one JSON object: no unknown or repeated members, nothing
// after it. Its errors repeat nothing of b.
func Strict(b []byte, into any) error {
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

// maxCredential is the most bytes of a token or another credential; a token that
// holds its own claims has two KiB or so.
const maxCredential = 8 << 10

// Credential reads a token or another credential: one line, in a file that is
// [Private]. The caller wipes the result.
func Credential(path string) ([]byte, error) {
	raw, err := Secret(path, maxCredential)
	defer clear(raw)
	if err != nil {
		return nil, err
	}
	b := bytes.TrimSpace(raw)
	if !Header(b) {
		return nil, fault.New(fault.Invalid, "it does not hold one line of plain characters")
	}
	return bytes.Clone(b), nil
}

// Header reports whether b is printable ASCII that neither a header nor JSON has to
// escape, not empty, and not longer than a credential.
func Header(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxCredential
}
