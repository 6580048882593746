package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/secretfile"
	"sallyport.dev/internal/vault"
)

// importing is what the flags of an import say.
type importing struct {
	prefix     string
	names      []string // KEY=secret-name
	only, skip []string
	scope      scopeFlags
	rotate     bool
	dryRun     bool
	meant      bool // also what stands in recorded traffic
	pin        string
}

// imported is one line of an import's result.
type imported struct {
	Name    string `json:"name"`
	Key     string `json:"key"`    // in the file
	Result  string `json:"result"` // created, rotated, skipped; with --dry-run: would be …; not stored
	Version int    `json:"version,omitempty"`
}

// The results of an import.
const (
	created   = "created"
	rotated   = "rotated"
	skipped   = "skipped"
	notStored = "not stored"
	wouldBe   = "would be "
)

func (p *program) secretImport() *cobra.Command {
	var im importing
	c := verb("import FILE [--origin URL]... [--rotate] [--dry-run]", "Store every value of a .env or JSON file", `  sallyport secret import .env --dry-run --origin https://erp.example.com
  sallyport secret import .env --only ERP_API_TOKEN --origin https://erp.example.com
  sallyport secret import secrets.json --prefix prod- --rotate`, takes(1), func(cmd *cobra.Command, args []string) error {
		now := time.Now()
		entries, err := readSecretFile(args[0], im.checker(now))
		if err != nil {
			return err
		}
		todo, err := im.plan(entries, now)
		if err != nil {
			return err
		}
		return p.runImport(cmd.Context(), &im, todo, args[0])
	})
	f := c.Flags()
	f.StringVar(&im.prefix, "prefix", "", "put this before every name that is made of a name in the file, like prod-")
	f.StringArrayVar(&im.names, "name", nil, "the Secret's name for a name in the file, KEY=secret-name; give it again for several")
	f.StringArrayVar(&im.only, "only", nil, "take this name of the file and no other; give it again for several")
	f.StringArrayVar(&im.skip, "skip", nil, "leave this name of the file out; give it again for several")
	f.BoolVar(&im.rotate, "rotate", false, "store values of Secrets that exist as their next version, active at once; without it they are skipped")
	f.BoolVar(&im.dryRun, "dry-run", false, "say what would happen, and store nothing")
	im.scope.add(c)
	meantFlag(c, &im.meant)
	pinFlag(c, &im.pin)
	return c
}

// readSecretFile reads all of a file, or nothing: every problem is told.
func readSecretFile(path string, check func(secretfile.Entry) (what, hint string)) ([]secretfile.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the file to import can't be opened").WithHint("check the name that follows: sallyport secret import")
	}
	b, err := bounded(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	defer clear(b)
	entries, bad := secretfile.Parse(b, check)
	var all []error
	for _, p := range bad {
		e := fault.Newf(fault.Invalid, "line %d: %s", p.Line, p.What)
		if p.Hint != "" {
			e = e.WithHint("%s", p.Hint)
		}
		all = append(all, e)
	}
	return entries, errors.Join(all...)
}

// todo is one value with where it goes.
type todo struct {
	entry secretfile.Entry
	name  string
	body  api.SecretValue
}

// plan names every value, each of which was checked.
func (im *importing) plan(entries []secretfile.Entry, now time.Time) ([]todo, error) {
	given, err := im.given(entries)
	if err != nil {
		return nil, err
	}
	var out []todo
	for _, e := range entries {
		if im.left(e.Key) {
			continue
		}
		t, err := im.one(e, given[e.Key], now)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, fmt.Sprintf("line %d", e.Line), err)
		}
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, &usageError{"nothing of the file is left to import", "look at --only and --skip"}
	}
	return out, nil
}

// given reads --name, and refuses a flag about a name that the file has not.
func (im *importing) given(entries []secretfile.Entry) (map[string]string, error) {
	in := map[string]bool{}
	for _, e := range entries {
		in[e.Key] = true
	}
	out := map[string]string{}
	for _, n := range im.names {
		key, name, ok := strings.Cut(n, "=")
		if !ok || name == "" {
			return nil, &usageError{"--name takes KEY=secret-name", ""}
		}
		out[key] = name
	}
	for _, key := range slices.Concat(sorted(out), im.only, im.skip) {
		if !in[key] {
			return nil, &usageError{"--name, --only or --skip names something that is not in the file", "the names in the file are spelled as they are there"}
		}
	}
	return out, nil
}

// checker gives what looks at each entry by itself, also where not all of the file
// can be read.
func (im *importing) checker(now time.Time) func(secretfile.Entry) (what, hint string) {
	taken := map[string]int{}
	return func(e secretfile.Entry) (what, hint string) {
		if im.left(e.Key) {
			return "", ""
		}
		name := ""
		for _, n := range im.names {
			if key, to, _ := strings.Cut(n, "="); key == e.Key {
				name = to
			}
		}
		t, err := im.one(e, name, now)
		if err != nil {
			return explained(err)
		}
		if line := taken[t.name]; line != 0 {
			return fmt.Sprintf("it would have the name of the one in line %d", line), "name it with --name KEY=secret-name"
		}
		taken[t.name] = e.Line
		return "", ""
	}
}

// left says whether an entry is left out.
func (im *importing) left(key string) bool {
	return slices.Contains(im.skip, key) || len(im.only) > 0 && !slices.Contains(im.only, key)
}

// one makes the request of one value; kind Invalid, and nothing of a value is in
// the error.
func (im *importing) one(e secretfile.Entry, name string, now time.Time) (todo, error) {
	t := todo{entry: e, name: name}
	if name == "" {
		t.name = im.prefix + secretName(e.Key)
	}
	t.body = api.SecretValue{Description: e.Description, Owner: e.Owner, Labels: e.Labels, AlthoughRecorded: im.meant}
	scope := im.scope
	if own := e.Scope; len(own.Origins)+len(own.Integrations)+len(own.Schemes)+len(own.Methods)+len(own.Missions) > 0 || own.AnyOrigin {
		scope = scopeFlags{origins: own.Origins, integrations: own.Integrations, schemes: own.Schemes, methods: own.Methods, missions: own.Missions,
			anyOrigin: own.AnyOrigin, expires: scope.expires}
	}
	if e.Expires != "" {
		scope.expires = e.Expires
	}
	err := scope.into(&t.body, now)
	if err != nil {
		return t, err
	}
	if e.Pointer != nil {
		t.body.Pointer, err = pointed(e.Pointer)
		return t, err
	}
	w := vault.Write{Name: t.name, Fields: e.Fields, Description: e.Description, Owner: e.Owner, Labels: e.Labels, Scope: t.body.Scope}
	if err := w.Check(); err != nil {
		hint := "what is no Secret is left out with --skip NAME"
		if h := fault.HintOf(err); h != "" {
			hint = h + "; " + hint
		}
		return t, fault.New(fault.Invalid, err.Error()).WithHint("%s", hint)
	}
	t.body.Scope = w.Scope // in the form that the vault gives it
	return t, nil
}

// secretName makes a Secret's name of a name in a file: ERP_API_TOKEN becomes
// erp-api-token. What can't be one is found by who checks it.
func secretName(key string) string {
	parts := strings.FieldsFunc(strings.ToLower(key), func(r rune) bool { return r == '_' || r == '.' || r == '-' || r == ' ' })
	return strings.Join(parts, "-")
}

// runImport looks at what is there, stores what is to be stored, and shows it.
func (p *program) runImport(ctx context.Context, im *importing, list []todo, file string) error {
	var have api.Secrets
	if _, err := p.call(ctx, "GET", "/v1/secrets", nil, &have); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, s := range have.Secrets {
		known[s.Name] = true
	}
	var all []error
	for _, t := range list {
		if s := t.body.Scope; !known[t.name] && !t.body.AnyOrigin && (s == nil || len(s.Origins) == 0) {
			all = append(all, fault.Newf(fault.Invalid, "line %d: the secret %s is new and not bound to an origin", t.entry.Line, t.name).
				WithHint("say where it may go, like https://erp.example.com (--origin), or that it may go anywhere (--any-origin)"))
		}
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	results, err := p.storeAll(ctx, im, list, known)
	if shown := p.result(map[string]any{"secrets": results, "dryRun": im.dryRun}, func() { p.importTable(results) }); err == nil {
		err = shown
	}
	if !im.dryRun && slices.ContainsFunc(results, func(r imported) bool { return r.Version > 0 }) && slices.ContainsFunc(list, func(t todo) bool { return t.body.Pointer == nil }) {
		p.warn("the values stand in two places now: delete " + file + " when nothing needs it any more, and where it has been in a repository or a backup, rotate them")
	}
	return err
}

// storeAll stops at the first failure: what was stored until then stays.
func (p *program) storeAll(ctx context.Context, im *importing, list []todo, known map[string]bool) (out []imported, err error) {
	shown, done := p.progress("stored", func(n int64) string { return strconv.FormatInt(n, 10) })
	defer done()
	for i, t := range list {
		r := imported{Name: t.name, Key: t.entry.Key, Result: created}
		s := sending{name: t.name, method: "PUT", pin: im.pin, body: t.body}
		switch {
		case known[t.name] && !im.rotate:
			r.Result = skipped
		case known[t.name]:
			r.Result, s.method, s.rotate = rotated, "POST", true
		}
		switch {
		case im.dryRun:
			r.Result = wouldBe + r.Result
		case r.Result == skipped:
		case err != nil:
			r.Result = notStored
		default:
			var stored vault.Secret
			if stored, err = p.storeOne(ctx, s, t); err != nil {
				r.Result = notStored
			}
			r.Version = len(stored.Versions)
		}
		out = append(out, r)
		shown(int64(i+1), int64(len(list)))
	}
	return out, err
}

// storeOne sends a value, encrypted, or where it is.
func (p *program) storeOne(ctx context.Context, s sending, t todo) (stored vault.Secret, err error) {
	if t.body.Pointer == nil {
		_, stored, err = p.store(ctx, s, t.entry.Fields)
		return stored, err
	}
	_, err = p.call(ctx, s.method, pointRoute(s.method, t.name), t.body, &stored)
	return stored, err
}

func (p *program) importTable(results []imported) {
	var rows [][]string
	for _, r := range results {
		version := ""
		if r.Version > 0 {
			version = fmt.Sprintf("v%d", r.Version)
		}
		rows = append(rows, []string{r.Name, version, r.Result, r.Key})
	}
	p.table("there is nothing to import", []string{"NAME", "VERSION", "RESULT", "FROM"}, rows)
	if slices.ContainsFunc(results, func(r imported) bool { return strings.HasSuffix(r.Result, skipped) }) {
		p.say("what exists is skipped; to store it as the next version, active at once: --rotate")
	}
}
