// Package policy answers two questions about an Intent, in Cedar: may it happen
// at all ("call"), and may it happen without a person ("call_unattended").
// Both are default-deny, so a policy that was forgotten means that a person is
// asked, and a Tool that nobody knows is refused. See default.cedar for what
// holds without any Policy resource.
//
// It is pure: no clock, disk, network or logger. A [Set] is compiled once from
// all Policies of a tenant and is immutable. It refuses at compile time what
// could fail later: text is validated strictly against a Cedar schema that is
// generated from the Tools' JSON Schemas, names of entities must exist, and an
// annotation that is not understood is an error, because a misspelt one looks
// like protection and is none.
//
// # Security
//
// Cedar skips a policy whose condition errors: a forbid that errors would let
// the request through. Here any evaluation error denies, whatever the other
// policies say, and the verdict names the policy. A nil Set denies everything.
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
	"time"

	"github.com/cedar-policy/cedar-go"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"

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
	needsArgs        bool // whether any of them looks at the arguments
}

type statements []statement

type statement struct {
	id     cedar.PolicyID // "policy" or "policy/id"
	policy *cedar.Policy
	notes  notes
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

func (s statements) notes(id cedar.PolicyID) notes {
	for i := range s {
		if s[i].id == id {
			return s[i].notes
		}
	}
	return notes{}
}

// Hash is the SHA-256 (hex) of all policies' names, places and texts, the
// default included: what the audit log records as the policy's version.
func (s *Set) Hash() string {
	if s == nil {
		return ""
	}
	return s.hash
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

// notes is what a statement's annotations say.
type notes struct {
	approvers []string
	expires   time.Duration // 0: not said
	pin       bool
}

// readNotes checks the annotations: the set of them is closed.
func (c *compiler) readNotes(p *xast.Policy) (notes, error) {
	var n notes
	for _, a := range p.Annotations {
		v := string(a.Value)
		switch a.Key {
		case "id", "title", "description":
		case "approvers":
			if !slices.Contains(c.world.Teams, v) {
				return n, fault.Newf(fault.Invalid, "@approvers: there is no Team %q", fault.Quote(v)).WithHint("%s", resource.DidYouMean(v, c.world.Teams))
			}
			n.approvers = append(n.approvers, v)
		case "expires":
			d, err := time.ParseDuration(v)
			if err != nil || d < time.Minute || d > resource.MaxDecision {
				return n, fault.Newf(fault.Invalid, "@expires: %q is not a time between 1m and 720h", fault.Quote(v))
			}
			n.expires = d
		case "pin_secret":
			if v != "true" && v != "false" {
				return n, fault.Newf(fault.Invalid, `@pin_secret: %q is neither "true" nor "false"`, fault.Quote(v))
			}
			n.pin = v == "true"
		default:
			return n, fault.Newf(fault.Invalid, "the annotation @%s is not understood", fault.Quote(string(a.Key))).
				WithHint("there are @id, @title, @description, @approvers, @expires and @pin_secret")
		}
	}
	return n, nil
}
