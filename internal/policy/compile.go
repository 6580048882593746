package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// compiler gathers statements and what is wrong with them.
type compiler struct {
	world  World
	tools  map[toolKey]tool
	fits   map[string]*fit // by the tools that a statement can be about
	global []scoped
	local  map[string][]scoped // by Integration
	all    []Statement
	titles map[string]string // of statements that have one, by id
	errs   []error
}

type scoped struct {
	statement
	call, unattended bool
	needs            needs
}

func newCompiler(w World) (*compiler, error) {
	c := &compiler{world: w, tools: map[toolKey]tool{}, fits: map[string]*fit{}, titles: map[string]string{}, local: map[string][]scoped{}}
	for _, t := range w.Tools {
		k := toolKey{t.Integration, t.Name}
		if _, twice := c.tools[k]; twice {
			return nil, fault.Newf(fault.Invalid, "the tool %s of %s is there twice", fault.Quote(t.Name), fault.Quote(t.Integration))
		}
		if t.Effect != resource.Read && t.Effect != resource.Write {
			return nil, fault.Newf(fault.Invalid, "the tool %s of %s has no effect", fault.Quote(t.Name), fault.Quote(t.Integration))
		}
		args, err := parseShape(t.Schema)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "reading the schema of the tool "+fault.Quote(t.Name), err)
		}
		c.tools[k] = tool{t.Effect, args}
		c.local[t.Integration] = nil // every Integration gets its bundle
	}
	return c, nil
}

func (c *compiler) problem(policy string, line, col int, err *fault.Error) {
	c.errs = append(c.errs, &Problem{Policy: policy, Line: line, Column: col, Err: err})
}

// add parses one resource's text and checks each statement in it.
func (c *compiler) add(p resource.Policy, builtin bool) {
	if _, ok := c.local[p.Integration]; !ok && p.Integration != "" {
		c.problem(p.Name, 0, 0, fault.Newf(fault.Invalid, "there is no Integration %q with tools", fault.Quote(p.Integration)).
			WithHint("%s", resource.DidYouMean(p.Integration, slices.Collect(maps.Keys(c.local)))))
		return
	}
	list, err := cedar.NewPolicyListFromBytes(p.Name, []byte(p.Cedar))
	if err != nil {
		line, col, msg := syntax(err.Error())
		c.problem(p.Name, line, col, fault.Newf(fault.Invalid, "it is not Cedar: %s", clip(msg)))
		return
	}
	if len(list) == 0 {
		c.problem(p.Name, 0, 0, fault.New(fault.Invalid, "it has no statement"))
	}
	seen := map[string]bool{}
	for i, one := range list {
		at := one.Position()
		fail := func(err *fault.Error) { c.problem(p.Name, at.Line, at.Column, err) }
		id := string(one.Annotations()["id"])
		if id == "" {
			id = fmt.Sprint(i + 1)
		}
		if seen[id] || len(id) > 80 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			fail(fault.Newf(fault.Invalid, "the id %q is taken or not plain", fault.Quote(id)))
			continue
		}
		seen[id] = true
		s, err := c.statement(p, one, builtin)
		if err != nil {
			fail(err)
			continue
		}
		s.id = cedar.PolicyID(p.Name + "/" + id)
		c.titles[string(s.id)] = s.notes.title
		if !builtin {
			c.all = append(c.all, describe(&s.statement, s.asked(), ""))
		}
		if p.Integration == "" {
			c.global = append(c.global, s)
		} else {
			c.local[p.Integration] = append(c.local[p.Integration], s)
		}
	}
}

// asked names the questions that a statement's scope can match.
func (s scoped) asked() string {
	switch {
	case s.call && s.unattended:
		return string(actionCall.ID + ", " + actionUnattended.ID)
	case s.unattended:
		return string(actionUnattended.ID)
	}
	return string(actionCall.ID)
}

func (c *compiler) statement(p resource.Policy, one *cedar.Policy, builtin bool) (scoped, *fault.Error) {
	tree := (*xast.Policy)(one.AST())
	s := scoped{statement: statement{policy: one}}
	s.call, s.unattended = questions(tree.Action)
	var err error
	if s.notes, err = c.readNotes(tree); err != nil {
		return s, asFault(err)
	}
	s.needs = looksAt(string(one.MarshalCedar()), s.notes)
	if builtin {
		return s, nil // it has to hold in an empty world too; a test validates it
	}
	if err := c.names(tree); err != nil {
		return s, err
	}
	f, err := c.fit(p.Integration, tree.Resource)
	if err != nil {
		return s, asFault(err)
	}
	if err := f.check(tree); err != nil {
		return s, err
	}
	return s, f.limits(s.notes.limits)
}

// looksAt says what a statement's canonical text has to do with, in which an
// escape can't hide a word: one that never looks at the arguments spares their
// conversion. A word too many costs time only.
func looksAt(text string, n notes) needs {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	budget := slices.ContainsFunc(n.limits, func(l limit) bool { return l.kind == Budget })
	return needs{args: budget || has("args"), clock: has("now", "hour", "weekday"), worker: has("worker"),
		source: strings.Count(text, "source") > strings.Count(text, "resource"), untrusted: has("untrusted")}
}

func asFault(err error) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Err: err, Hint: fault.HintOf(err)}
}

// questions says which of the two a statement's scope can match.
func questions(scope xast.IsActionScopeNode) (call, unattended bool) {
	var ids []cedar.EntityUID
	switch s := scope.(type) {
	case xast.ScopeTypeEq:
		ids = append(ids, s.Entity)
	case xast.ScopeTypeIn:
		ids = append(ids, s.Entity)
	case xast.ScopeTypeInSet:
		ids = s.Entities
	default:
		return true, true
	}
	return slices.Contains(ids, actionCall), slices.Contains(ids, actionUnattended)
}

// names refuses an entity that does not exist: a forbid about a misspelt Tool
// would never match, and nobody would notice.
func (c *compiler) names(p *xast.Policy) *fault.Error {
	var found []cedar.EntityUID
	for _, scope := range []any{p.Principal, p.Action, p.Resource} {
		switch s := scope.(type) {
		case xast.ScopeTypeEq:
			found = append(found, s.Entity)
		case xast.ScopeTypeIn:
			found = append(found, s.Entity)
		case xast.ScopeTypeIsIn:
			found = append(found, s.Entity)
		case xast.ScopeTypeInSet:
			found = append(found, s.Entities...)
		}
	}
	for _, cond := range p.Conditions {
		xast.Inspect(xast.NewNode(cond.Body), func(n xast.IsNode) bool {
			if v, ok := n.(xast.NodeValue); ok {
				if uid, ok := v.Value.(cedar.EntityUID); ok {
					found = append(found, uid)
				}
			}
			return true
		})
	}
	for _, uid := range found {
		known := c.known(uid.Type)
		if known == nil || slices.Contains(known, string(uid.ID)) {
			continue
		}
		return fault.Newf(fault.Invalid, "there is no %s %q", fault.Quote(string(uid.Type)), fault.Quote(string(uid.ID))).
			WithHint("%s", resource.DidYouMean(string(uid.ID), known))
	}
	return nil
}

// known lists the ids of an entity type; nil where any will do (a Worker is a
// Run and can't be known here) or where the validator refuses the type.
func (c *compiler) known(t cedar.EntityType) []string {
	switch t {
	case typeTool:
		out := make([]string, 0, len(c.tools))
		for k := range c.tools {
			out = append(out, k.integration+"/"+k.name)
		}
		return out
	case typeIntegration:
		return append([]string{}, slices.Collect(maps.Keys(c.local))...)
	case typeConnection:
		return append([]string{}, c.world.Connections...)
	case typeMission:
		return append([]string{}, c.world.Missions...)
	}
	return nil
}

// set freezes what was gathered.
func (c *compiler) set(sorted []resource.Policy) *Set {
	s := &Set{hash: digest(sorted), tools: c.tools, all: c.all, titles: c.titles, bundles: map[string]*bundle{}}
	for integration, local := range c.local {
		b := &bundle{}
		for _, st := range slices.Concat(c.global, local) {
			b.needs.add(st.needs)
			if st.notes.observe {
				b.observed = append(b.observed, observed{st.statement, st.call, st.unattended})
				continue
			}
			if st.call {
				b.call = append(b.call, st.statement)
			}
			if st.unattended {
				b.unattended = append(b.unattended, st.statement)
			}
		}
		s.bundles[integration] = b
	}
	return s
}

var parseError = regexp.MustCompile(`^(?:parser error: )?parse error at [^ ]*?:?([0-9]+):([0-9]+) (.*)$`)

// syntax takes the place out of what Cedar's parser says; 0 where it has none.
func syntax(msg string) (line, col int, rest string) {
	m := parseError.FindStringSubmatch(clip(msg))
	if m == nil {
		return 0, 0, msg
	}
	line, _ = strconv.Atoi(m[1]) // digits; one that is too large is no place
	col, _ = strconv.Atoi(m[2])
	return line, col, m[3]
}

// clip bounds what Cedar says about the author's own text.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, " ")), " ")
	if len(s) > 240 {
		s = strings.ToValidUTF8(s[:240], "") + "..."
	}
	return s
}
