package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Load reads files, and of each directory all *.yaml and *.yml files (not of those
// below it). The error, of kind Invalid, joins an [*Error] for everything that
// is wrong; then there is no Bundle. Where there are several names, the places of
// errors have the directory.
func Load(opts Options, names ...string) (*Bundle, error) {
	l := newLoader(opts)
	for _, name := range names {
		if err := l.open(name, len(names) > 1); err != nil {
			return nil, err
		}
	}
	return l.bundle()
}

// open reads a file or a directory.
func (l *loader) open(name string, several bool) error {
	info, err := os.Stat(name)
	if err != nil {
		return fault.Newf(fault.Invalid, "%s can't be read", fault.Quote(name)).WithHint("name a file or a directory with resources in YAML")
	}
	dir, files := name, []string(nil)
	if !info.IsDir() {
		dir, files = filepath.Dir(name), []string{filepath.Base(name)}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fault.Newf(fault.Invalid, "%s can't be opened", fault.Quote(dir))
	}
	defer root.Close()
	was, before := len(l.errs), len(l.b.cases)
	known := maps.Clone(l.b.places)
	l.read(root.FS(), files)
	if !several {
		return nil
	}
	for _, e := range l.errs[was:] {
		e.File = filepath.Join(dir, e.File)
	}
	for i := range l.b.cases[before:] {
		l.b.cases[before+i].within(dir)
	}
	for k, at := range l.b.places {
		if _, old := known[k]; !old {
			at.within(dir)
		}
	}
	return nil
}

// LoadFS reads the named files of a file system; without names, as [Load] does
// of a directory.
func LoadFS(fsys fs.FS, names []string, opts Options) (*Bundle, error) {
	l := newLoader(opts)
	l.read(fsys, names)
	return l.bundle()
}

func newLoader(opts Options) *loader {
	return &loader{opts: opts, report: &report{}, wrong: map[catalog.Key]bool{}, b: &Bundle{places: map[catalog.Key]places{}}}
}

// read reads the named files, or all of the directory.
func (l *loader) read(fsys fs.FS, names []string) {
	l.fsys, l.used = fsys, map[string]bool{}
	listed := names == nil
	if listed {
		names = l.list()
	}
	var documents []string
	for _, name := range names {
		if b := l.readFile(place{file: name}, name, maxFile); b != nil {
			if isDocument(b) && len(names) > 1 {
				documents = append(documents, name) // may be the OpenAPI document of an Integration
				continue
			}
			if isCases(b) {
				l.caseFile(name, b, listed)
				continue
			}
			l.file(name, b)
		}
	}
	for _, name := range documents {
		if !l.used[name] {
			l.addf(place{file: name}, "it is an OpenAPI document, and no Integration in the files names it")
		}
	}
}

// bundle is what was read, when nothing is wrong.
func (l *loader) bundle() (*Bundle, error) {
	l.references()
	if err := l.err(); err != nil {
		return nil, err
	}
	slices.SortFunc(l.b.Resources, func(x, y resource.Resource) int {
		a, b := x.Header(), y.Header()
		return cmp.Or(cmp.Compare(slices.Index(resource.Kinds, a.Kind), slices.Index(resource.Kinds, b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	return l.b, nil
}

type loader struct {
	*report
	fsys fs.FS
	opts Options
	used map[string]bool // OpenAPI documents that are named
	b    *Bundle
	// Resources that are there and wrong: a reference to one is not a second
	// error. With an unreadable file nobody knows what is there.
	wrong      map[catalog.Key]bool
	unreadable bool
}

var (
	openapiKey = regexp.MustCompile(`(?m)^openapi:`)
	kindKey    = regexp.MustCompile(`(?m)^kind:`)
)

// isDocument tells an OpenAPI document from a file with resources.
func isDocument(b []byte) bool { return openapiKey.Match(b) && !kindKey.Match(b) }

func (l *loader) list() []string {
	entries, err := fs.ReadDir(l.fsys, ".")
	var names []string
	for _, e := range entries {
		if ext := path.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			names = append(names, e.Name())
		}
	}
	switch {
	case err != nil:
		l.addf(place{file: "."}, "the directory can't be read")
	case len(names) == 0:
		l.addf(place{file: "."}, "the directory has no file *.yaml")
	case len(names) > maxFiles:
		l.addf(place{file: "."}, "the directory has more than %d files", maxFiles)
		return nil
	}
	return names
}

// readFile reads a regular file within the limit; nil where there is an error,
// which is reported at the place that names the file.
func (l *loader) readFile(at place, name string, limit int64) []byte {
	info, err := fs.Stat(l.fsys, name) // before opening: a pipe would wait
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.addf(at, "there is no file %s", fault.Quote(name))
		return nil
	case err != nil:
		l.addf(at, "the file %s can't be read, or leads out of the directory", fault.Quote(name))
		return nil
	case !info.Mode().IsRegular():
		l.addf(at, "%s is not a regular file", fault.Quote(name))
		return nil
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		l.addf(at, "the file %s can't be read", fault.Quote(name))
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		l.addf(at, "the file %s can't be read", fault.Quote(name))
		return nil
	case int64(len(b)) > limit:
		l.addf(at, "the file %s is larger than %d KiB", fault.Quote(name), limit>>10)
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// file loads all documents of a file.
func (l *loader) file(name string, b []byte) {
	r := &reader{report: l.report, file: name, vars: l.opts.Vars}
	before := len(l.errs)
	docs := r.read(b)
	l.unreadable = l.unreadable || len(l.errs) > before
	if len(docs) == 0 && len(l.errs) == before {
		l.addf(place{file: name}, "it has no resource")
	}
	for _, n := range docs {
		l.document(n)
	}
}

func (l *loader) document(n *node) {
	if n.kind != aMapping {
		l.addf(n.at, "a resource is a mapping that begins with apiVersion, kind and name")
		return
	}
	kind := n.get("kind")
	if kind == nil || kind.kind != aText {
		l.add(n.at, fault.New(fault.Invalid, "the kind is missing").WithHint("write kind: with one of Team, Integration, Connection, Mission, Policy"))
		return
	}
	res := resource.New(resource.Kind(kind.text))
	if res == nil {
		var names []string
		for _, k := range resource.Kinds {
			names = append(names, string(k))
		}
		l.add(kind.at, fault.Newf(fault.Invalid, "there is no kind %q", fault.Quote(kind.text)).WithHint("%s", suggest(kind.text, names)))
		return
	}
	before := len(l.errs)
	d := &decoder{report: l.report, places: places{}}
	d.decode(n, reflect.ValueOf(res).Elem(), "")
	if i, ok := res.(*resource.Integration); ok && i.HTTP != nil && i.HTTP.OpenAPIFile != "" {
		i.HTTP.OpenAPI = l.beside(i.HTTP.OpenAPIFile, maxOpenAPI, d.places.at("http.openapi"))
	} else if ok && i.MCP != nil && i.MCP.DefinitionsFile != "" {
		i.MCP.Definitions = l.beside(i.MCP.DefinitionsFile, maxOpenAPI, d.places.at("mcp.definitions"))
	}
	if len(l.errs) > before {
		if name := n.get("name"); name != nil {
			l.wrong[catalog.Key{Kind: resource.Kind(kind.text), Name: name.text}] = true
		}
		return // what Check would say about a half-filled resource is noise
	}
	for _, p := range resource.Problems(res.Check()) {
		f := *p.Err
		f.Msg = p.Path + ": " + f.Msg
		l.add(d.places.at(p.Path), &f)
	}
	l.keep(res, d.places)
}

// keep adds the resource, unless one of its kind and name is there.
func (l *loader) keep(res resource.Resource, at places) {
	h := res.Header()
	key := catalog.Key{Kind: h.Kind, Name: h.Name}
	if was, taken := l.b.places[key]; taken {
		first := was.at("name")
		l.addf(at.at("name"), "the %s %q is here twice; the first is at %s:%d", h.Kind, fault.Quote(h.Name), first.file, first.line)
		return
	}
	l.b.places[key] = at
	l.b.Resources = append(l.b.Resources, res)
}

// beside reads the document that an Integration names, relative to its file; nil
// where there is an error, which is reported.
func (l *loader) beside(file string, limit int64, at place) json.RawMessage {
	name := path.Join(path.Dir(at.file), filepath.ToSlash(file))
	if path.IsAbs(file) || filepath.IsAbs(file) || !fs.ValidPath(name) {
		l.addf(at, "the file has to be in the directory of the resources")
		return nil
	}
	l.used[name] = true
	b := l.readFile(at, name, limit)
	if b == nil {
		return nil
	}
	r := &reader{report: &report{}, file: name, document: true}
	doc, err := toJSON(r, b)
	if err != nil {
		if len(r.errs) > 0 {
			l.errs = append(l.errs, r.errs...)
			return nil
		}
		l.addf(at, "the file %s is not one YAML or JSON document", fault.Quote(name))
		return nil
	}
	return doc
}

// references reports, where it stands, each reference to what is neither in the
// files nor known.
func (l *loader) references() {
	if l.unreadable {
		return
	}
	names := map[resource.Kind][]string{}
	for k := range l.b.places {
		names[k.Kind] = append(names[k.Kind], k.Name)
	}
	for _, r := range l.b.Resources {
		h := r.Header()
		for _, ref := range resource.References(r) {
			if slices.Contains(names[ref.Kind], ref.Name) || l.wrong[catalog.Key{Kind: ref.Kind, Name: ref.Name}] || l.opts.Known != nil && l.opts.Known(ref.Kind, ref.Name) {
				continue
			}
			l.add(l.b.places[catalog.Key{Kind: h.Kind, Name: h.Name}].at(ref.Path),
				fault.Newf(fault.Invalid, "there is no %s %q", ref.Kind, fault.Quote(ref.Name)).WithHint("%s", cmp.Or(resource.DidYouMean(ref.Name, names[ref.Kind]), l.opts.Elsewhere)))
		}
	}
}
