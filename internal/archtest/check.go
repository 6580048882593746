package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Check is one rule: a sentence that holds, and what it finds where it doesn't.
type Check struct {
	Says string
	Find func(Graph) []string
}

// Checks are all rules about the module's packages.
var Checks = []Check{
	{"every package is on the list, and the list has no others", onTheList},
	{"imports point down", pointDown},
	{"nobody imports what the never-list keeps from them", neverImported},
	{"reserved functions are used by their owners only", reserved},
	{"layer 0 needs the standard library only", standardOnly},
	{"pure packages import pure packages only", pureImports},
	{"pure packages touch no network, disk, logger or clock", pureUses},
	{"goroutines are begun by package crash, which catches their panics", guarded},
	{"the vault exports no plaintext", exportsNoPlaintext},
	{"a file of more than 500 lines has a reason", shortFiles},
}

func onTheList(g Graph) (bad []string) {
	var all []string
	for _, p := range g.own() {
		all = append(all, p.Path)
		if _, ok := find(Layers, p.Path); !ok {
			bad = append(bad, p.Path+" is not in Layers (layers.go)")
		}
	}
	for b := range boxes(Layers) {
		if !slices.ContainsFunc(all, func(path string) bool { return matches(b.Path, path) }) {
			bad = append(bad, b.Path+" is in Layers but not in the module")
		}
	}
	return bad
}

func pointDown(g Graph) (bad []string) {
	for _, p := range g.own() {
		from, ok := find(Layers, p.Path)
		if !ok || Layers[from.layer].Name == beside {
			continue
		}
		for _, i := range p.Imports {
			to, ok := find(Layers, i)
			switch {
			case !ok, Layers[to.layer].Name == beside, to.layer > from.layer:
			case to.layer < from.layer:
				bad = append(bad, fmt.Sprintf("%s (layer %s) imports %s (layer %s)",
					p.Path, Layers[from.layer].Name, i, Layers[to.layer].Name))
			case to.chain != from.chain:
				bad = append(bad, fmt.Sprintf("%s imports %s of its own layer", p.Path, i))
			case to.rank <= from.rank:
				bad = append(bad, fmt.Sprintf("%s imports %s against the order of their chain", p.Path, i))
			}
		}
	}
	return bad
}

func neverImported(g Graph) (bad []string) {
	for _, n := range Nevers {
		for _, p := range g.own() {
			if !matches(n.From, p.Path) || anyMatches(n.Except, p.Path) {
				continue
			}
			via := g.reach(p.Path)
			for _, to := range sortedKeys(via) {
				inside := matches(n.To, p.Path) // a box may use its own parts
				if !matches(n.To, to) || inside || (via[to] != p.Path && !n.Transitive) {
					continue
				}
				bad = append(bad, fmt.Sprintf("%s: %s", way(via, p.Path, to), n.Why))
			}
		}
	}
	// Besides the never-list: nothing of the product stands on what is beside it.
	for _, p := range g.own() {
		from, ok := find(Layers, p.Path)
		if !ok || Layers[from.layer].Name == beside {
			continue
		}
		for _, i := range p.Imports {
			if to, ok := find(Layers, i); ok && Layers[to.layer].Name == beside && !matches("examples/...", i) {
				bad = append(bad, fmt.Sprintf("%s imports %s, which is for tests", p.Path, i))
			}
		}
	}
	return bad
}

func reserved(g Graph) (bad []string) {
	for _, r := range Reserved {
		if !g.Declared[r.Object] {
			bad = append(bad, fmt.Sprintf("%s is reserved, but there is no such thing: was it renamed?", r.Object))
		}
		owner := packageOf(r.Object)
		for _, u := range g.Uses {
			if u.Object == r.Object && u.By != owner && !anyMatches(r.By, u.By) {
				bad = append(bad, fmt.Sprintf("%s: %s uses %s: %s", u.At, u.By, u.Object, r.Why))
			}
		}
	}
	return bad
}

func standardOnly(g Graph) (bad []string) {
	for _, p := range g.own() {
		if at, ok := find(Layers, p.Path); !ok || Layers[at.layer].Name != "0" {
			continue
		}
		for _, i := range p.Imports {
			if q := g.Packages[i]; q != nil && q.Module != "" && !q.Own {
				bad = append(bad, fmt.Sprintf("%s imports %s", p.Path, i))
			}
		}
	}
	return bad
}

func pureImports(g Graph) (bad []string) {
	for _, p := range g.own() {
		if !anyMatches(Pure, p.Path) {
			continue
		}
		for _, i := range p.Imports {
			q := g.Packages[i]
			switch {
			case q == nil, q.Module == "":
			case q.Own && !anyMatches(Pure, i):
				bad = append(bad, fmt.Sprintf("%s is pure and imports %s, which is not", p.Path, i))
			case !q.Own && pureModules[q.Module] == "":
				bad = append(bad, fmt.Sprintf("%s is pure and imports %s, whose module is not in pureModules", p.Path, i))
			}
		}
	}
	return bad
}

func pureUses(g Graph) (bad []string) {
	needed := map[Exception]bool{}
	for _, u := range g.Uses {
		if !anyMatches(Pure, u.By) || !isImpure(u.Object) {
			continue
		}
		i := slices.IndexFunc(Exceptions, func(e Exception) bool { return e.Package == u.By && covers(e.Object, u.Object) })
		if i < 0 {
			bad = append(bad, fmt.Sprintf("%s: %s is pure and uses %s", u.At, u.By, u.Object))
			continue
		}
		needed[Exceptions[i]] = true
	}
	for _, e := range Exceptions {
		if !needed[e] {
			bad = append(bad, fmt.Sprintf("the exception for %s in %s is not needed", e.Object, e.Package))
		}
	}
	return bad
}

func guarded(g Graph) (bad []string) {
	needed := map[Goroutine]bool{}
	for _, u := range g.Uses {
		if !slices.Contains(begin, u.Object) || u.By == "internal/crash" {
			continue
		}
		i := slices.IndexFunc(Goroutines, func(e Goroutine) bool { return e.Package == u.By && e.Object == u.Object })
		if i < 0 {
			bad = append(bad, fmt.Sprintf("%s: %s begins a goroutine with %s; a panic in it would end the process", u.At, u.By, u.Object))
			continue
		}
		needed[Goroutines[i]] = true
	}
	for _, e := range Goroutines {
		if !needed[e] {
			bad = append(bad, fmt.Sprintf("the exception for %s in %s is not needed", e.Object, e.Package))
		}
	}
	return bad
}

// isImpure reports whether an object is on the list of impure ones.
func isImpure(object string) bool {
	if slices.Contains(harmless, object) {
		return false
	}
	pkg := packageOf(object)
	return slices.ContainsFunc(impure, func(i string) bool { return matches(i, pkg) || covers(i, object) })
}

// covers reports whether an object is the one of that name, or a method of it.
func covers(name, object string) bool {
	return object == name || strings.HasPrefix(object, name+".")
}

// packageOf gives the package of "path/name.Object" or "path/name.Type.Method".
func packageOf(object string) string {
	slash := strings.LastIndexByte(object, '/')
	if dot := strings.IndexByte(object[slash+1:], '.'); dot >= 0 {
		return object[:slash+1+dot]
	}
	return object
}

func exportsNoPlaintext(g Graph) (bad []string) {
	seen := map[string]bool{}
	for _, e := range g.Exports {
		seen[e.Name] = true
		if NotPlaintext[e.Name] == "" {
			bad = append(bad, fmt.Sprintf("%s gives %s: could that be plaintext? If not, say why in NotPlaintext (plaintext.go)", e.Name, e.Type))
		}
	}
	for _, name := range sortedKeys(NotPlaintext) {
		if !seen[name] {
			bad = append(bad, name+" is in NotPlaintext but is not exported any more")
		}
	}
	return bad
}

func shortFiles(g Graph) (bad []string) {
	for _, file := range sortedKeys(g.Lines) {
		if n := g.Lines[file]; n > maxLines && Long[file] == "" {
			bad = append(bad, fmt.Sprintf("%s has %d lines", file, n))
		}
	}
	for _, file := range sortedKeys(Long) {
		if g.Lines[file] <= maxLines {
			bad = append(bad, file+" is in Long but is short, or gone")
		}
	}
	return bad
}

// boxes goes through all boxes, top first.
func boxes(layers []Layer) func(func(Box) bool) {
	return func(yield func(Box) bool) {
		for _, l := range layers {
			for _, c := range l.Chains {
				for _, rank := range c {
					for _, b := range rank {
						if !yield(b) {
							return
						}
					}
				}
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
