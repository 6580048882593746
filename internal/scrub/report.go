package scrub

import (
	"cmp"
	"slices"
)

// Report says what was found. The zero value says that nothing was.
type Report struct {
	Hits []Hit // sorted by name, each name once
}

// Hit is a secret's name and how many places were replaced because of it. A
// place where secrets overlap counts for each of them.
type Hit struct {
	Name  string
	Count int
}

// Found reports whether there was any hit.
func (r Report) Found() bool { return len(r.Hits) > 0 }

// Total is the sum of all counts.
func (r Report) Total() int {
	n := 0
	for _, h := range r.Hits {
		n += h.Count
	}
	return n
}

// Names are the names of what was found, sorted.
func (r Report) Names() []string {
	var names []string
	for _, h := range r.Hits {
		names = append(names, h.Name)
	}
	return names
}

// Add merges another report into r.
func (r *Report) Add(o Report) {
	for _, h := range o.Hits {
		r.count(h.Name, h.Count)
	}
}

func (r *Report) count(name string, n int) {
	i, ok := slices.BinarySearchFunc(r.Hits, name, func(h Hit, s string) int { return cmp.Compare(h.Name, s) })
	if !ok {
		r.Hits = slices.Insert(r.Hits, i, Hit{Name: name})
	}
	r.Hits[i].Count += n
}
