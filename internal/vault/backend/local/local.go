// Package local is values in files of this machine, and in the environment of this
// process: for what an orchestrator puts there, and for a first try.
//
// It refuses a file outside of its directory, by whatever name or link; a file that
// others may write; one that is no regular file; and a variable without the prefix
// that is configured.
//
// # Security
//
// Both are weaker than a vault, and a server says so when it starts. Whoever can read
// the directory, a backup of it or the memory of this process's environment
// (/proc/PID/environ, a container's description, a service's unit) has the values.
// Neither keeps versions or a record of who has read.
package local

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/safe"
)

// Files says which directory.
type Files struct {
	Directory string `yaml:"directory"` // absolute
}

// Environment says which variables.
type Environment struct {
	Prefix string `yaml:"prefix"` // of their names; a path is the rest of the name
}

// files is a directory; a path is a file below it.
type files struct {
	dir   string
	every time.Duration // of a watch's looks
}

// NewFiles checks the configuration.
func NewFiles(c Files) (backend.Backend, error) {
	if !filepath.IsAbs(c.Directory) || filepath.Clean(c.Directory) == "/" {
		return nil, fault.New(fault.Invalid, "the directory of a backend of files is not an absolute path below /")
	}
	return files{c.Directory, looking}, nil
}

// Ready looks whether there is such a directory.
func (f files) Ready() error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return backend.Fail(backend.Away, "the directory "+fault.Quote(f.dir)+" can't be opened").WithHint("make it, readable by the server's user")
	}
	return root.Close()
}

// Enter does the same: there is nobody to sign in to.
func (f files) Enter(context.Context) (string, error) {
	return "the directory can be opened", f.Ready()
}

// Named: a file is one value.
func (files) Named() bool { return false }

// Check takes no version.
func (files) Check(a backend.Ask) error {
	if a.Version != "" {
		return fault.New(fault.Invalid, "a file has no versions")
	}
	if strings.HasPrefix(a.Path, "/") || strings.HasSuffix(a.Path, "/") {
		return fault.New(fault.Invalid, "a path in a directory begins and ends without a slash")
	}
	return nil
}

// Fetch reads a file; one line's end at its own end is not part of the value.
func (f files) Fetch(_ context.Context, a backend.Ask) (backend.Answer, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return backend.Answer{}, backend.Fail(backend.Away, "the directory can't be opened")
	}
	defer func() { _ = root.Close() }() // it was only read
	info, err := root.Stat(a.Path)      // before opening: a pipe would wait
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return backend.Answer{}, backend.Fail(backend.Missing, "there is no such file in the directory")
	case err != nil:
		return backend.Answer{}, backend.Fail(backend.Refused, "the file can't be read, or is outside of the directory")
	case !info.Mode().IsRegular():
		return backend.Answer{}, backend.Fail(backend.Wrong, "it is no regular file")
	case info.Mode().Perm()&0o022 != 0:
		return backend.Answer{}, backend.Fail(backend.Refused, "others can write the file").WithHint("chmod go-w it")
	}
	file, err := root.Open(a.Path)
	if err != nil {
		return backend.Answer{}, backend.Fail(backend.Refused, "the file can't be read")
	}
	defer func() { _ = file.Close() }() // it was only read
	raw, err := safe.All(file, backend.MaxAnswer)
	if err != nil {
		return backend.Answer{}, backend.Fail(backend.Wrong, "the file is too long")
	}
	return one(raw)
}

func one(raw []byte) (backend.Answer, error) {
	defer clear(raw)
	b := bytes.TrimSuffix(raw, []byte("\n"))
	if b = bytes.TrimSuffix(b, []byte("\r")); len(b) == 0 {
		return backend.Answer{}, backend.Fail(backend.Wrong, "it is empty")
	}
	return backend.Answer{Fields: backend.OneValue(bytes.Clone(b))}, nil
}

// environment is this process's.
type environment struct{ prefix string }

var (
	variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,100}$`)
	ending   = regexp.MustCompile(`^[A-Z0-9_]{1,100}$`)
)

// NewEnvironment checks the configuration.
func NewEnvironment(c Environment) (backend.Backend, error) {
	if !variable.MatchString(c.Prefix) {
		return nil, fault.New(fault.Invalid, "the prefix of a backend of the environment is not one of upper-case letters").
			WithHint("write it like CRM_SECRET_: no other variable can be pointed to")
	}
	return environment{c.Prefix}, nil
}

// Ready has nothing to look at.
func (environment) Ready() error { return nil }

// Enter has nobody to sign in to.
func (environment) Enter(context.Context) (string, error) {
	return "there is nothing to sign in to", nil
}

// Named: a variable is one value.
func (environment) Named() bool { return false }

// Check takes the end of a variable's name.
func (environment) Check(a backend.Ask) error {
	if a.Version != "" || !ending.MatchString(a.Path) {
		return fault.New(fault.Invalid, "a path in the environment is the rest of a variable's name, and has no versions")
	}
	return nil
}

// Fetch reads a variable.
func (e environment) Fetch(_ context.Context, a backend.Ask) (backend.Answer, error) {
	v, ok := os.LookupEnv(e.prefix + a.Path)
	if !ok {
		return backend.Answer{}, backend.Fail(backend.Missing, "there is no such variable in the environment")
	}
	if len(v) > backend.MaxAnswer {
		return backend.Answer{}, backend.Fail(backend.Wrong, "the variable is too long")
	}
	return one([]byte(v))
}
