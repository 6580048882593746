package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	xast "github.com/cedar-policy/cedar-go/x/exp/ast"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Approver is a Team of which some people have to approve.
type Approver struct {
	Team  string `json:"team"`
	Count int    `json:"count"` // people of the Team, at least 1
}

// String is "team", or "team:count" where it takes more than one.
func (a Approver) String() string {
	if a.Count == 1 {
		return a.Team
	}
	return a.Team + ":" + strconv.Itoa(a.Count)
}

// maxApprovers bounds how many people of one Team are asked, and how many Teams.
const maxApprovers = 20

// notes is what a statement's annotations say.
type notes struct {
	title, description string
	approvers          []Approver
	expires            time.Duration // 0: not said
	pin, passkey       bool
	observe            bool
	limits             []limit
}

// annotations are the names of all that are understood: the set is closed.
var annotations = []string{"id", "title", "description", "approvers", "expires", "pin_secret", "passkey", "observe", "rate", "budget"}

// readNotes checks the annotations.
func (c *compiler) readNotes(p *xast.Policy) (notes, error) {
	var n notes
	named := false
	for _, a := range p.Annotations {
		key := string(a.Key)
		named = named || key == "id"
		if err := n.read(key, string(a.Value), c.world.Teams); err != nil {
			return n, err
		}
	}
	switch {
	case len(n.limits) > 0 && p.Effect == xast.EffectForbid:
		return n, fault.New(fault.Invalid, "@rate and @budget limit a permit, not a forbid").
			WithHint("permit what is within the limit; what is beyond is then not permitted")
	case len(n.limits) > 0 && !named:
		return n, fault.New(fault.Invalid, "a statement with @rate or @budget needs an @id").
			WithHint("what was used is counted under it, also when statements before this one come or go")
	}
	return n, nil
}

func (n *notes) read(key, v string, teams []string) (err error) {
	switch key {
	case "id":
	case "title":
		n.title = v
	case "description":
		n.description = v
	case "approvers":
		n.approvers, err = parseApprovers(v, teams)
	case "expires":
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Minute || d > resource.MaxDecision {
			return fault.Newf(fault.Invalid, "@expires: %q is not a time between 1m and 720h", fault.Quote(v))
		}
		n.expires = d
	case "pin_secret":
		n.pin, err = parseFlag(key, v)
	case "passkey":
		n.passkey, err = parseFlag(key, v)
	case "observe":
		n.observe, err = parseFlag(key, v)
	case "rate", "budget":
		var more []limit
		more, err = parseLimits(UseKind(key), v)
		n.limits = append(n.limits, more...)
	default:
		hint := resource.DidYouMean(key, annotations)
		if hint == "" {
			hint = "there are @" + strings.Join(annotations, ", @")
		}
		return fault.Newf(fault.Invalid, "the annotation @%s is not understood", fault.Quote(key)).WithHint("%s", hint)
	}
	return err
}

func parseFlag(key, v string) (bool, error) {
	if v != "true" && v != "false" {
		return false, fault.Newf(fault.Invalid, `@%s: %q is neither "true" nor "false"`, key, fault.Quote(v))
	}
	return v == "true", nil
}

// parseApprovers reads "finance:2, cfo".
func parseApprovers(v string, teams []string) ([]Approver, error) {
	var out []Approver
	for part := range strings.SplitSeq(v, ",") {
		team, count, counted := strings.Cut(strings.TrimSpace(part), ":")
		a := Approver{Team: strings.TrimSpace(team), Count: 1}
		if counted {
			n, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil || n < 1 || n > maxApprovers {
				return nil, fault.Newf(fault.Invalid, "@approvers: %q is not a number of people from 1 to %d", fault.Quote(strings.TrimSpace(count)), maxApprovers)
			}
			a.Count = n
		}
		if !slices.Contains(teams, a.Team) {
			return nil, fault.Newf(fault.Invalid, "@approvers: there is no Team %q", fault.Quote(a.Team)).WithHint("%s", resource.DidYouMean(a.Team, teams))
		}
		if slices.ContainsFunc(out, func(b Approver) bool { return b.Team == a.Team }) {
			return nil, fault.Newf(fault.Invalid, "@approvers: the Team %q is there twice", a.Team)
		}
		if out = append(out, a); len(out) > maxApprovers {
			return nil, fault.Newf(fault.Invalid, "@approvers: there are more than %d Teams", maxApprovers)
		}
	}
	return out, nil
}

// strictest adds to one list of approvers another: all have to approve, of each
// Team the higher count. The result is sorted.
func strictest(a, b []Approver) []Approver {
	for _, x := range b {
		if i := slices.IndexFunc(a, func(y Approver) bool { return y.Team == x.Team }); i >= 0 {
			a[i].Count = max(a[i].Count, x.Count)
		} else {
			a = append(a, x)
		}
	}
	slices.SortFunc(a, func(x, y Approver) int { return strings.Compare(x.Team, y.Team) })
	return a
}
