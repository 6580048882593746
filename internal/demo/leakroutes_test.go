package demo_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/demo"
)

// dynamic are the places that add routes whose pattern is no literal there: what
// they are called with is found where it is said.
var dynamic = []string{"api/route.go", "api/follow.go", "api/watch.go", "api/backup.go", "console/visit.go"}

// mounted is where the routes of a package are, when not at the root.
var mounted = map[string]string{"audit": "/v1/audit/log"}

// routesInCode reads "METHOD /pattern" of every route from the source of every
// package under internal.
func routesInCode(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		ast.Inspect(file, func(n ast.Node) bool {
			pattern, is := routeOf(n)
			switch {
			case !is:
			case pattern != "":
				method, p, ok := strings.Cut(pattern, " ")
				if !ok {
					method, p = "GET", method
				}
				all = append(all, method+" "+mounted[file.Name.Name]+p)
			case !slices.Contains(dynamic, rel):
				t.Errorf("%s adds a route whose pattern can't be read from the source: name it in dynamic, or write it out", rel)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// routeOf is the pattern that a node adds; empty when it is not written there.
func routeOf(n ast.Node) (pattern string, is bool) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if !slices.Contains([]string{"Handle", "HandleFunc", "handle"}, name) || len(n.Args) < 2 || strings.HasSuffix(exprText(n.Args[0]), "ctx") {
			return "", false
		}
		return patternOf(n.Args), true
	case *ast.CompositeLit:
		if id, ok := n.Type.(*ast.Ident); ok && id.Name == "route" {
			if p := patternOf(n.Elts); p != "" {
				return p, true
			}
		}
	}
	return "", false
}

func exprText(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// patternOf joins the literals that are a method or begin with a slash.
func patternOf(exprs []ast.Expr) string {
	method := ""
	for _, e := range exprs {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			e = kv.Value
		}
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		s, _ := strconv.Unquote(lit.Value) // the parser took it
		switch {
		case strings.HasPrefix(s, "/") && method != "":
			return method + " " + s
		case strings.Contains(s, "/"):
			return s
		case s == strings.ToUpper(s):
			method = s
		}
	}
	return ""
}

var hole = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

// fill gives the paths of a pattern: for each hole all that there is of its kind.
func (w *world) fill(pattern string, there map[string][]string) []string {
	w.t.Helper()
	pattern = strings.ReplaceAll(pattern, "{$}", "")
	m := hole.FindStringSubmatch(pattern)
	if m == nil {
		return []string{pattern}
	}
	values := there[m[1]]
	if len(values) == 0 {
		w.t.Errorf("nothing is known to fill {%s} of %s with: a new kind of thing needs a line in everything", m[1], pattern)
	}
	var all []string
	for _, v := range values {
		all = append(all, w.fill(strings.Replace(pattern, m[0], v, 1), there)...)
	}
	return all
}

// everything is what paths can name, and a known secret in place of each.
func (w *world) everything(runs []string, secret string) map[string][]string {
	w.t.Helper()
	there := map[string][]string{
		"mission": {"leak", "vendor-onboarding"}, "secret": {"leak-bearer", "leak-bearer-0"}, "hash": {"x"}, "name": {"console.css"},
		"action": {"rotate", "activate", "rollback", "disable", "destroy", "remove", "close", "promote", "dismiss"}, "version": {"1"}, "path": {"0/000", "entries/000", "0/x000/000"},
		"index": {"0", "3"}, "run": runs, "account": {w.People["requester"].Account.ID}, "seal": {"seal_none"}, "channel": {channelDoors[0].name}, "question": {"note_none"}, "passkey": {"pky_none"},
		"rotation": {"rot_none"}, "backend": {"corp"}, "worker": {"leak-agent"}, "token": {"wtk_none"},
		"integration": {"leak-mcp", "erp"}, "change": {"chg_none"}, "connection": {"erp-read"}, "authorization": {"grt_none"},
	}
	for _, run := range runs {
		for i, it := range w.intents(run) {
			if i%40 == 0 {
				there["intent"] = append(there["intent"], it.ID)
			}
		}
	}
	var q struct{ Items []item }
	w.must(w.as("approver").Call(w.t.Context(), "GET", "/v1/decisions?state=all&limit=20", nil, &q))
	for _, it := range q.Items {
		there["decision"] = append(there["decision"], it.Decision.ID)
	}
	var l api.Incidents
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/incidents?limit=12", nil, &l))
	for _, i := range l.Incidents {
		there["incident"] = append(there["incident"], i.ID)
	}
	for k := range there {
		there[k] = append(there[k], url.PathEscape(secret))
	}
	return there
}

// page is a browser's client that is signed in as somebody, whose answers are
// kept.
func (w *world) page(s *sinks, name string) *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	w.must(err)
	c := &http.Client{Jar: jar, Transport: tapped(s, pages), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.PostForm(w.URL()+"/signin", url.Values{"name": {name}, "password": {w.People[name].Password}, "code": {w.code(name)}})
	w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("%s can't sign in to the console: %s", name, resp.Status)
	}
	return c
}

// crawlRoutes calls every route that the code has, with what there is and with a
// known secret in every place, as everybody; it fails for a route that it can't
// fill in.
func (w *world) crawlRoutes(s *sinks, runs []string, secret string) (routes, calls int) {
	w.t.Helper()
	there := w.everything(runs, secret)
	patterns := append(routesInCode(w.t), "GET /v1/decisions/events?after=0", // with all that there was
		"GET /v1/audit/query?record="+url.QueryEscape(secret), "GET /v1/audit/query?person="+url.QueryEscape(secret), "GET /v1/audit/query?since=2026-01-01T00:00:00Z&limit=200")
	if len(patterns) < 60 {
		w.t.Errorf("only %d routes were read from the code", len(patterns))
	}
	for _, who := range demo.Names() {
		w.as(who)
		browser := w.page(s, who)
		for _, p := range patterns {
			method, pattern, _ := strings.Cut(p, " ")
			paths := w.fill(pattern, there)
			if method != "GET" && len(paths) > 1 {
				paths = paths[len(paths)-1:] // what is not there: nothing is to be changed
			}
			for _, path := range paths {
				calls++
				w.callRoute(s, browser, who, method, path, secret)
			}
		}
	}
	return len(patterns), calls
}

// spared are the calls that would end the crawl: they are made with a token that
// is none.
var spared = []string{"DELETE /v1/sessions/current", "POST /v1/me/password", "POST /password", "POST /signout"}

// fields are the members and form fields that requests have: each gets the secret.
var fields = []string{"name", "password", "code", "next", "new", "again", "verdict", "digest", "reason", "value", "field", "description", "owner", "label",
	"displayName", "roles", "input", "key", "connection", "tool", "title", "text", "kind", "summary", "why", "finding", "version", "resources", "fields", "scope", "note", "outcome", "origins", "sure", "labels", "run", "mission", "worker", "args", "decisions",
	"challenge", "link", "attestation", "clientData", "created", "credential", "authenticator", "authenticatorData", "client", "signature", "passkey", "answer", "expires"}

func (w *world) callRoute(s *sinks, browser *http.Client, who, method, path, secret string) {
	w.t.Helper()
	api := strings.HasPrefix(path, "/v1/") || strings.HasSuffix(path, "z")
	tok := w.tokens[who]
	if slices.Contains(spared, method+" "+path) {
		tok, browser = secret, &http.Client{Transport: tapped(s, pages)}
	}
	form := url.Values{}
	for _, f := range fields {
		form.Set(f, secret)
	}
	bodies := []string{""}
	if method != "GET" && api {
		bodies = []string{`"` + secret + `"`, `{"` + secret + `":"x"}`, `{"` + secret}
		for _, f := range fields {
			bodies = append(bodies, `{"`+f+`":"`+secret+`"}`)
		}
	} else if method != "GET" {
		bodies = []string{form.Encode()}
	}
	for _, body := range bodies {
		req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+path, strings.NewReader(body))
		w.must(err)
		c := browser
		if api {
			c = &http.Client{Transport: tap{s}}
			req.Header.Set("Authorization", "Bearer "+tok)
			req.Header.Set("Content-Type", "application/json")
		} else if method != "GET" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := c.Do(req)
		w.must(err)
		_, _ = io.Copy(io.Discard, resp.Body) // the sinks have it
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized {
			return // whatever the body is
		}
	}
}
