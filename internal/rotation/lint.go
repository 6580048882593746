package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Use is a Connection that refers to a Secret.
type Use struct {
	Connection, Integration string
	Origin                  string // of the Integration
	Reads                   bool   // none of its Tools writes
}

// Kept is one Secret as the lint looks at it.
type Kept struct {
	Secret vault.Secret
	Uses   []Use
	// Others says that a Channel, a policy or another part names it.
	Others bool
	Said   []vault.Said // what systems said of the active version
	Last   time.Time    // when it was used last; zero: no entry says that it was
	Policy *resource.Rotation
	// Resting is until when what a person has authorised is not tried; zero: it is.
	Resting time.Time
}

// Finding is something about a Secret that a person should look at.
type Finding struct {
	Secret string `json:"secret"`
	Kind   string `json:"kind"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

// The kinds of findings.
const (
	Shared       = "shared"
	Unused       = "unused"
	NeverRotated = "never_rotated"
	Expiring     = "expiring"
	Wider        = "wider"
	Waiting      = "waiting"
	LeaseLeft    = "lease_left"
	Refused      = "refused"
	Idle         = "idle"
)

// What the lint counts as long.
const (
	longUnused  = 30 * 24 * time.Hour
	longActive  = 90 * 24 * time.Hour
	soonExpires = 14 * 24 * time.Hour
)

// Lint looks at Secrets, in the order given. Each finding has no word of a value.
func Lint(kept []Kept, open []Rotation, now time.Time) (out []Finding) {
	for _, k := range kept {
		out = append(out, lintIdle(k)...)
		if k.Secret.Removed || k.Secret.Quarantined != nil || k.Secret.Active == 0 {
			continue
		}
		add := func(kind, text, hint string) { out = append(out, Finding{k.Secret.Name, kind, text, hint}) }
		ver := k.Secret.Versions[k.Secret.Active-1]
		lintUses(k, now, add)
		if age := now.Sub(ver.CreatedAt); ver.Pointer == nil && age > longActive && (k.Policy == nil || k.Policy.Every == 0) {
			add(NeverRotated, fmt.Sprintf("its active version is %d days old, and no schedule replaces it", int(age.Hours()/24)),
				"sallyport secret policy set, or sallyport secret rotate with a value from its system")
		}
		switch left := ver.Scope.NotAfter.Sub(now); {
		case ver.Scope.NotAfter.IsZero():
		case left <= 0:
			add(Expiring, "its active version has expired", "sallyport secret rotate")
		case left < soonExpires:
			add(Expiring, fmt.Sprintf("its active version expires in %d days", int(left.Hours()/24)), "sallyport secret rotate")
		}
		if !k.Resting.IsZero() {
			add(Refused, "its system or its authorization server refuses what a person has authorised, and it is not tried again before "+k.Resting.UTC().Format(time.RFC3339),
				"have an admin authorise the Connection again: sallyport connection authorize NAME")
		}
		lintScope(k, ver.Scope, add)
		lintSaid(k, add)
	}
	for _, r := range open {
		if r.State == NeedsPerson {
			out = append(out, Finding{r.Secret, Waiting, "its rotation waits for a person: " + r.Why, ResolveHint(r.ID)})
		}
	}
	return out
}

// ResolveHint is the command by which a person gives a word on a rotation.
func ResolveHint(id string) string {
	return "sallyport secret rotation resolve " + id + " again|give-up|settled"
}

// lintIdle says that a policy does nothing.
func lintIdle(k Kept) []Finding {
	if k.Policy == nil || k.Secret.Quarantined != nil {
		return nil
	}
	s := Standing{Policy: &Policy{}}
	if s.idle(k.Secret); s.Idle == "" {
		return nil
	}
	return []Finding{{k.Secret.Name, Idle, "its rotation policy does nothing: " + s.Idle, "sallyport secret policy remove " + k.Secret.Name}}
}

// LintLeases looks at what backends have made for Runs and could not be revoked.
func LintLeases(left []vault.Lease, now time.Time) (out []Finding) {
	for _, l := range left {
		text := fmt.Sprintf("the backend %s does not revoke the credential %s, which it made for %s; it is asked again", l.Backend, l.ID, l.Run)
		if l.Expires.After(now) {
			text += ", and it ends by itself at " + l.Expires.UTC().Format(time.RFC3339)
		}
		out = append(out, Finding{l.Secret, LeaseLeft, text, "end it at the backend; sallyport secret leases " + l.Secret + " has the digest of its lease there"})
	}
	return out
}

func lintUses(k Kept, now time.Time, add func(kind, text, hint string)) {
	var systems []string
	for _, u := range k.Uses {
		if !slices.Contains(systems, u.Integration) {
			systems = append(systems, u.Integration)
		}
	}
	if len(systems) > 1 {
		add(Shared, "one value is behind several Integrations: "+strings.Join(systems, ", "), "give each its own: what one of them leaks opens the others")
	}
	switch old := now.Sub(k.Secret.CreatedAt) > longUnused; {
	case k.Others || !old:
	case len(k.Uses) == 0 && k.Last.IsZero():
		add(Unused, "no Connection names it, and it was never used", "revoke it at its system, then: sallyport secret destroy "+k.Secret.Name)
	case k.Last.IsZero():
		add(Unused, "it was never used", "is the Connection needed?")
	}
}

// lintScope compares the usage scope with what the Connections need of it.
func lintScope(k Kept, s vault.Scope, add func(kind, text, hint string)) {
	if len(k.Uses) == 0 {
		return
	}
	hint := "a scope is part of a version: rotate with --origin, --method, --integration"
	if len(s.Origins) == 0 {
		add(Wider, "it may go to any origin", hint)
	}
	for _, o := range s.Origins {
		used := func(u Use) bool { return u.Origin == o || u.Origin == "" }
		if !slices.ContainsFunc(k.Uses, used) && !k.Others {
			add(Wider, "it may go to "+o+", where no Connection sends it", hint)
		}
	}
	reads := !slices.ContainsFunc(k.Uses, func(u Use) bool { return !u.Reads })
	writes := len(s.Methods) == 0 || slices.ContainsFunc(s.Methods, func(m string) bool { return m != "GET" && m != "HEAD" && m != "OPTIONS" })
	if reads && writes {
		add(Wider, "its Connections only read, and it may be used to write", hint)
	}
}

// lintSaid compares what a version's system says that it may do with what is asked of
// it. The words are the system's own.
func lintSaid(k Kept, add func(kind, text, hint string)) {
	for _, s := range k.Said {
		more := s.Words
		text, hint := "", "have its system give it less, then rotate it"
		switch s.By {
		case vault.SaidToken:
			if len(s.Asked) == 0 {
				continue // what was asked for is what the server likes to give
			}
			more = slices.DeleteFunc(slices.Clone(s.Words), func(w string) bool { return slices.Contains(s.Asked, w) })
			text = "its system gave a token for more than was asked for: "
		case vault.SaidHeader:
			if len(k.Uses) == 0 || slices.ContainsFunc(k.Uses, func(u Use) bool { return !u.Reads }) {
				continue
			}
			more = slices.DeleteFunc(slices.Clone(s.Words), func(w string) bool { return !changes(w) })
			text = "its Connections only read, and its system says that it may also: "
		case vault.SaidRole:
			text = "the database says that its user may do more than use tables: "
			hint = "give the Connection a user of its own, with rights on its tables alone"
		}
		if len(more) > 0 {
			add(Wider, text+strings.Join(more, ", "), hint)
		}
	}
}

// changing are parts of scopes' names that say that more than reading is in them; repo
// is GitHub's for everything in a repository.
var changing = []string{"write", "admin", "delete", "manage", "full", "all", "owner", "root", "create", "update", "edit", "modify", "repo", "*"}

// changes says whether a scope's name says so.
func changes(scope string) bool {
	parts := strings.FieldsFunc(strings.ToLower(scope), func(r rune) bool { return strings.ContainsRune("_:./-", r) })
	if slices.Contains(parts, "read") || slices.Contains(parts, "readonly") {
		return false
	}
	return slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(changing, p) })
}
