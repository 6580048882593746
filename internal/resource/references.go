package resource

import (
	"fmt"
	"maps"
	"slices"
)

// Reference is one resource's mention of another by kind and name.
type Reference struct {
	Path string // where, as in [Problem]
	Kind Kind
	Name string
}

// References lists what r refers to, in the order of its fields. A Tool is not
// a resource; package catalog resolves those.
func References(r Resource) []Reference {
	var out []Reference
	add := func(path string, k Kind, name string) {
		if name != "" {
			out = append(out, Reference{path, k, name})
		}
	}
	switch r := r.(type) {
	case *Integration:
		rules, at := map[string]ToolRule(nil), "http.tools."
		switch {
		case r.HTTP != nil:
			rules = r.HTTP.Tools
		case r.MCP != nil:
			rules, at = r.MCP.Tools, "mcp.tools."
		}
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			if l := rules[name].Lookup; l != nil {
				add(at+name+".lookup.connection", KindConnection, l.Connection)
			}
		}
	case *Connection:
		add("integration", KindIntegration, r.Integration)
	case *Mission:
		add("model", KindConnection, r.Model)
		for i, n := range r.Connections {
			add(fmt.Sprintf("connections[%d]", i), KindConnection, n)
		}
		for i, d := range r.Decisions {
			add(fmt.Sprintf("decisions[%d].team", i), KindTeam, d.Team)
		}
		for i, n := range r.Starters {
			add(fmt.Sprintf("starters[%d]", i), KindTeam, n)
		}
		for i, n := range r.Workers {
			add(fmt.Sprintf("workers[%d]", i), KindWorker, n)
		}
	case *Policy:
		add("integration", KindIntegration, r.Integration)
	case *Channel:
		for i, n := range r.Teams {
			add(fmt.Sprintf("teams[%d]", i), KindTeam, n)
		}
	}
	return out
}

// DidYouMean is a hint with the candidate that is nearest to name, or "".
func DidYouMean(name string, candidates []string) string {
	best, at := "", min(max(2, len(name)/3)+1, max(len(name), 1))
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(name, c, at); d < at {
			best, at = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// distance is Levenshtein's over bytes; anything at or over limit may be
// reported as limit.
func distance(a, b string, limit int) int {
	if len(a) > 100 || len(b) > 100 || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := prev
			if a[i-1] != b[j-1] {
				cost = 1 + min(prev, row[j], row[j-1])
			}
			prev, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
