// Package policy answers two questions about an Intent, in Cedar: may it happen
// at all ("call"), and may it happen without a person ("call_unattended").
// Both are default-deny, so a policy that was forgotten means that a person is
// asked, and a Tool that nobody knows is refused. See default.cedar for what
// holds without any Policy resource.
//
// It is pure: no clock, disk, network or logger. What a rate or a budget has used
// up is asked of the caller; see [Use]. A [Set] is compiled once from all Policies
// of a tenant and is immutable. It refuses at compile time what
// could fail later: text is validated strictly against a Cedar schema that is
// generated from the Tools' JSON Schemas, names of entities must exist, and an
// annotation that is not understood is an error, because a misspelt one looks
// like protection and is none.
//
// # Security
//
// Cedar skips a policy whose condition errors: a forbid that errors would let
// the request through. Here any evaluation error denies, whatever the other
// policies say, and the verdict names the policy; what was used of a limit and
// can't be counted denies too. A nil Set denies everything, and so does a Question
// without a time. A statement in observe mode decides nothing, even by an error.
// Verdicts and errors never repeat an argument's value.
package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Default is the text of the policy that is always there.
//
//go:embed default.cedar
var Default string

const defaultName = "default"

// Tool is what policy has to know about a Tool.
type Tool struct {
	Integration string
	Name        string
	Effect      resource.Effect
	Schema      json.RawMessage // JSON Schema of the arguments
}

// World is what policies may speak about. A name that is not in it is an error
// in a policy, with a suggestion.
type World struct {
	Tools       []Tool
	Connections []string
	Missions    []string
	Teams       []string // for @approvers
}

// Set is all policies of a tenant, compiled. Its methods are safe for
// concurrent use; nil is a Set that denies.
type Set struct {
	hash  string
	tools map[toolKey]tool
	// bundles has the global policies and those of one Integration together;
	// the key "" has the global ones alone.
	bundles map[string]*bundle
	all     []Statement
	titles  map[string]string // by a statement's id
}

type toolKey struct{ integration, name string }

type tool struct {
	effect resource.Effect
	args   *shape
}

// bundle is the policies that one Integration's Tools are judged by, apart for
// the two questions.
type bundle struct {
	call, unattended statements
	observed         []observed // those that decide nothing yet
	needs            needs
}

// needs says what the statements look at, so that nothing else is made.
type needs struct{ args, clock, source, worker, untrusted bool }

func (n *needs) add(m needs) {
	n.args, n.clock = n.args || m.args, n.clock || m.clock
	n.source, n.worker = n.source || m.source, n.worker || m.worker
	n.untrusted = n.untrusted || m.untrusted
}

type statements []statement

type statement struct {
	id     cedar.PolicyID // "policy/id"
	policy *cedar.Policy
	notes  notes
}

// observed is a statement in observe mode, with the questions that its scope can
// match.
type observed struct {
	statement
	call, unattended bool
}

// All is what cedar.Authorize iterates over.
func (s statements) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for i := range s {
			if !yield(s[i].id, s[i].policy) {
				return
			}
		}
	}
}

func (s statements) find(id cedar.PolicyID) *statement {
	for i := range s {
		if s[i].id == id {
			return &s[i]
		}
	}
	return nil
}

// Hash is the SHA-256 (hex) of all policies' names, places and texts, the
// default included: what the audit log records as the policy's version.
func (s *Set) Hash() string {
	if s == nil {
		return ""
	}
	return s.hash
}

// Statements lists those of the tenant's Policies, in the order of the Policies'
// names and of their places.
func (s *Set) Statements() []Statement {
	if s == nil {
		return nil
	}
	return slices.Clone(s.all)
}

// Compile checks and compiles the default policy and a tenant's Policies. The
// error, of kind Invalid, joins everything that is wrong, each part a
// [*Problem].
func Compile(policies []resource.Policy, world World) (*Set, error) {
	c, err := newCompiler(world)
	if err != nil {
		return nil, err
	}
	sorted := slices.Clone(policies)
	slices.SortFunc(sorted, func(a, b resource.Policy) int { return strings.Compare(a.Name, b.Name) })
	c.add(resource.Policy{Head: resource.Head{Name: defaultName}, Cedar: Default}, true)
	for i, p := range sorted {
		if p.Name == defaultName || i > 0 && sorted[i-1].Name == p.Name {
			c.problem(p.Name, 0, 0, fault.Newf(fault.Invalid, "the name %q is taken", fault.Quote(p.Name)))
			continue
		}
		c.add(p, false)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.set(sorted), nil
}

// Problem is one error in a Policy.
type Problem struct {
	Policy string       // the resource's name
	Line   int          // in its Cedar text, from 1; 0 when the whole is meant
	Column int          // from 1
	Err    *fault.Error // kind Invalid
}

// Error is "policy NAME:LINE:COLUMN: message".
func (p *Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("policy %s: %s", p.Policy, p.Err)
	}
	return fmt.Sprintf("policy %s:%d:%d: %s", p.Policy, p.Line, p.Column, p.Err)
}

// Unwrap gives the fault.
func (p *Problem) Unwrap() error { return p.Err }

// digest frames every part with its length, so that text can't move from one
// policy to another without changing the hash.
func digest(policies []resource.Policy) string {
	h := sha256.New()
	for _, s := range []string{"sallyport policy v1", Default} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	for _, p := range policies {
		for _, s := range []string{p.Name, p.Integration, p.Cedar} {
			fmt.Fprintf(h, "%d:%s", len(s), s)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
