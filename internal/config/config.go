// Package config reads resources as people write them: strict YAML, one or more
// documents a file, one or more files a directory, with variables in values and
// OpenAPI documents beside them.
//
// It refuses what a reader could misread: unknown and repeated keys, values of
// the wrong type, anchors, aliases and tags, numbers that are not plain
// decimals, variables that are not set, references that lead nowhere, and files
// outside the directory. Every error has its file, line and column and, where
// there is one, a suggestion; all of them are reported, and nothing is
// half-loaded.
//
// # Security
//
// A text that looks like a secret value is refused wherever it stands, in
// comments too, and no error repeats it: credentials are stored in the vault
// and named here. Files are opened through os.Root, so that neither ".." nor a
// symbolic link leads out. Sizes and nesting are bounded before anything is
// parsed.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// Limits on what is read.
const (
	maxFile    = 512 << 10 // bytes of a file with resources
	maxOpenAPI = 4 << 20   // bytes of an OpenAPI document
	maxFiles   = 500
	maxErrors  = 100
	maxNesting = 40
	maxKeys    = 2000 // of one mapping: the parser's time grows with their square
)

// Options are what a load depends on beside the files.
type Options struct {
	// Vars are the values of ${NAME}. Nothing is taken from the environment.
	Vars map[string]string
	// Known says whether a resource that is not in the files exists anyway,
	// because it was applied before. nil: none does.
	Known func(resource.Kind, string) bool
	// Elsewhere is the hint where a reference leads out of the files, and nothing in
	// them is like it: where else somebody may look.
	Elsewhere string
	// Cases has files with cases for policies read too; without it, those of a
	// directory are passed over.
	Cases bool
}

// Bundle is what was loaded.
type Bundle struct {
	// Resources in the order of kinds, then names.
	Resources []resource.Resource
	places    map[catalog.Key]places
	cases     []Case
}

// Cases are those that were read, in the order of the files.
func (b *Bundle) Cases() []Case { return b.cases }

// Error is one thing that is wrong with a file.
type Error struct {
	File   string
	Line   int // from 1; 0 when the whole file is meant
	Column int // from 1
	Err    *fault.Error
}

// Error is "file:line:column: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Err)
}

// Unwrap gives the fault.
func (e *Error) Unwrap() error { return e.Err }

// Errors lists the parts of an error of this package, in the order of files and
// lines.
func Errors(err error) []*Error {
	var out []*Error
	each(err, func(err error) {
		if e, ok := errors.AsType[*Error](err); ok {
			out = append(out, e)
		}
	})
	return out
}

// each visits the parts of a joined error.
func each(err error, visit func(error)) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			each(e, visit)
		}
	} else if err != nil {
		visit(err)
	}
}

// place is where something stands in a file.
type place struct {
	file      string
	line, col int
	block     bool // a block of text, which begins on the next line
	indent    int  // of a block: the spaces before each line
}

func (p place) err(f *fault.Error) *Error {
	return &Error{File: p.file, Line: p.line, Column: p.col, Err: f}
}

// places are where a resource's fields stand, by path.
type places map[string]place

// within puts the directory before each file's name.
func (p places) within(dir string) {
	for path, at := range p {
		at.file = filepath.Join(dir, at.file)
		p[path] = at
	}
}

// at finds the place of a path, or of the nearest thing around it.
func (p places) at(path string) place {
	for {
		if at, ok := p[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// Locate gives every [*catalog.Problem] and [*policy.Problem] in an error the
// place in the files that it is about. Parts that are about something else stay
// as they are.
func (b *Bundle) Locate(err error) error {
	var out []error
	each(err, func(err error) {
		if p, ok := errors.AsType[*catalog.Problem](err); ok {
			if at, ok := b.places[p.Key]; ok {
				err = at.at(p.Path).err(p.Err)
			}
		} else if p, ok := errors.AsType[*policy.Problem](err); ok {
			if at, ok := b.places[catalog.Key{Kind: resource.KindPolicy, Name: p.Policy}]; ok {
				e := at.at("cedar").err(p.Err)
				if p.Line > 0 && at.at("cedar").block {
					e.Line, e.Column = e.Line+p.Line, p.Column+at.at("cedar").indent
				}
				err = e
			}
		}
		out = append(out, err)
	})
	return errors.Join(out...)
}

// report collects errors.
type report struct{ errs []*Error }

func (r *report) add(at place, f *fault.Error) { r.errs = append(r.errs, at.err(f)) }

func (r *report) addf(at place, format string, args ...any) {
	r.add(at, fault.Newf(fault.Invalid, format, args...))
}

// err joins what was found, sorted, each once.
func (r *report) err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	r.errs = slices.CompactFunc(r.errs, func(a, b *Error) bool { return a.Error() == b.Error() })
	var out []error
	for i, e := range r.errs {
		if i == maxErrors {
			out = append(out, fault.Newf(fault.Invalid, "and %d more errors", len(r.errs)-maxErrors))
			break
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}
