package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// fit is what the Tools that a statement can be about have in common.
type fit struct {
	validator *validate.Validator
	vars      map[string]*shape // what context, principal and resource have
}

// fit is the one for the Tools that a statement's scope leaves: the fewer, the
// more of their arguments have one type and can be spoken of.
func (c *compiler) fit(integration string, scope xast.IsResourceScopeNode) (*fit, error) {
	var uid cedar.EntityUID
	switch s := scope.(type) {
	case xast.ScopeTypeEq:
		uid = s.Entity
	case xast.ScopeTypeIn:
		uid = s.Entity
	case xast.ScopeTypeIsIn:
		uid = s.Entity
	}
	var keys []toolKey
	for k := range c.tools {
		if integration != "" && k.integration != integration || uid.Type == typeTool && string(uid.ID) != k.integration+"/"+k.name ||
			uid.Type == typeIntegration && string(uid.ID) != k.integration {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fault.New(fault.Invalid, "it can't be about any tool")
	}
	slices.SortFunc(keys, func(a, b toolKey) int {
		return strings.Compare(a.integration+"/"+a.name, b.integration+"/"+b.name)
	})
	cacheKey := fmt.Sprintf("%q", keys)
	if f, ok := c.fits[cacheKey]; ok {
		return f, nil
	}
	merged := c.tools[keys[0]].args
	for _, k := range keys[1:] {
		merged = merge(merged, c.tools[k].args)
	}
	context := contextOf(merged)
	v, err := newValidator(context)
	if err != nil {
		return nil, err
	}
	text := member{&shape{kind: isString}, true}
	f := &fit{v, map[string]*shape{
		"context":   context,
		"principal": {kind: isRecord, fields: map[string]member{"starter": text, "name": text, "owner": text}},
		"resource":  {kind: isRecord, fields: map[string]member{"effect": text}},
	}}
	c.fits[cacheKey] = f
	return f, nil
}

// check validates a statement strictly.
func (f *fit) check(p *xast.Policy) *fault.Error {
	if err := f.has(p); err != nil {
		return err
	}
	if err := f.validator.Policy("", p); err != nil {
		return fault.Newf(fault.Invalid, "it does not fit the tools: %s", clip(err.Error())).WithHint("%s", typeHint(err.Error()))
	}
	return nil
}

// typeHint says what is meant where numbers of two types meet: a schema's number
// is a decimal in Cedar, which has methods in place of signs.
func typeHint(msg string) string {
	if !strings.Contains(msg, "decimal") {
		return ""
	}
	return `a number with fractions is a decimal: write context.args.amount.lessThanOrEqual(decimal("50.0")), or .greaterThan(...), in place of <= and >`
}

// has refuses "x has y" where no y can be: Cedar takes that for a constant
// false, and a forbid with a misspelt argument would silently never match.
func (f *fit) has(p *xast.Policy) (bad *fault.Error) {
	for _, cond := range p.Conditions {
		xast.Inspect(xast.NewNode(cond.Body), func(n xast.IsNode) bool {
			if h, ok := n.(xast.NodeTypeHas); ok && bad == nil {
				bad = f.hasOne(h)
			}
			return bad == nil
		})
	}
	return bad
}

func (f *fit) hasOne(h xast.NodeTypeHas) *fault.Error {
	at, ok := f.path(h.Arg)
	if !ok {
		return fault.New(fault.Invalid, `it does not fit the tools: "has" is understood after a plain path only, like context.args`)
	}
	name := string(h.Value)
	if at != nil && at.fields[name].shape != nil {
		return nil
	}
	var names []string
	if at != nil {
		names = slices.Collect(maps.Keys(at.fields))
	}
	hint := resource.DidYouMean(name, names)
	if slices.Contains(names, name) || hint == "" {
		hint = `an argument of several types can't be judged; let the statement be about one tool: resource == Tool::"integration/tool"`
	}
	return fault.Newf(fault.Invalid, "it does not fit the tools: there is no %q that policy could judge", fault.Quote(name)).WithHint("%s", hint)
}

// path follows accesses down from a variable to a shape; nil where it ends.
func (f *fit) path(n xast.IsNode) (*shape, bool) {
	switch n := n.(type) {
	case xast.NodeTypeVariable:
		return f.vars[string(n.Name)], true
	case xast.NodeTypeAccess:
		s, ok := f.path(n.Arg)
		if s == nil {
			return nil, ok
		}
		return s.fields[string(n.Value)].shape, ok
	}
	return nil, false
}

// limits checks that the argument that a budget adds up is a number of every Tool
// that has it.
func (f *fit) limits(all []limit) *fault.Error {
	for _, l := range all {
		if l.kind != Budget {
			continue
		}
		at := f.vars["context"].fields["args"].shape
		for _, name := range l.path {
			if at == nil || at.fields[name].shape == nil {
				var names []string
				if at != nil {
					names = slices.Collect(maps.Keys(at.fields))
				}
				return fault.Newf(fault.Invalid, "@budget: there is no argument %q that policy could add up", fault.Quote(l.arg)).WithHint("%s", resource.DidYouMean(name, names))
			}
			at = at.fields[name].shape
		}
		if at.kind != isLong && at.kind != isDecimal {
			return fault.Newf(fault.Invalid, "@budget: the argument %q is no number", fault.Quote(l.arg))
		}
	}
	return nil
}
