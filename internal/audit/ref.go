package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Ref is something that an entry is about, and can be found by. A store keeps them
// beside the log, as it keeps [Columns]: they decide nothing, can be made anew from
// the entries, and are compared with them by verification.
type Ref struct {
	Kind  RefKind
	Value string
}

// RefKind says what a Ref names.
type RefKind string

// The kinds of Ref. A private record's value is [HiddenRecord] of its keyed hash.
const (
	RefMission  RefKind = "mission"
	RefPerson   RefKind = "person" // an account's id: who acted, who started the Run, who approved
	RefWorker   RefKind = "worker"
	RefSystem   RefKind = "system"
	RefTool     RefKind = "tool"
	RefSecret   RefKind = "secret"
	RefRecord   RefKind = "record"
	RefDecision RefKind = "decision"
)

// HiddenRecord is how a private record is referred to.
func HiddenRecord(hash string) string { return "hmac:" + hash }

// IsHiddenRecord says whether a name is that of a private record.
func IsHiddenRecord(name string) bool { return strings.HasPrefix(name, HiddenRecord("")) }

// person begins the actor of what a person did.
const person = "person:"

// Refs of an entry, sorted, each once. What leaves is not among them: its claim is.
func (ev Event) Refs() (out []Ref) {
	if ev.Type == IntentSending {
		return nil
	}
	add := func(k RefKind, value string) {
		if value != "" {
			out = append(out, Ref{k, value})
		}
	}
	text := func(field string) string { s, _ := stringOf(ev.Fields[field]); return s }
	add(RefMission, ev.Mission)
	add(RefTool, ev.Tool)
	add(RefWorker, text("worker"))
	add(RefSystem, text("system"))
	add(RefSecret, text("secret"))
	add(RefDecision, text("decision"))
	add(RefRecord, text("record"))
	if hash := text("recordKey"); hash != "" {
		add(RefRecord, HiddenRecord(hash))
	}
	for _, who := range []string{ev.Actor, text("starter")} {
		if id, is := strings.CutPrefix(who, person); is {
			add(RefPerson, id)
		}
	}
	add(RefPerson, text("account"))
	for _, name := range listOf(ev.Fields["secrets"]) {
		add(RefSecret, name)
	}
	for _, id := range listOf(ev.Fields["approvers"]) {
		if !strings.Contains(id, ":") { // a policy's has one
			add(RefPerson, id)
		}
	}
	slices.SortFunc(out, func(a, b Ref) int {
		return strings.Compare(string(a.Kind)+"\x00"+a.Value, string(b.Kind)+"\x00"+b.Value)
	})
	return slices.Compact(out)
}

// stringOf and listOf read a field of an event, of whatever string type.
func stringOf(v any) (string, bool) {
	x, ok := normal(name, v)
	s, is := x.(string)
	if !ok || !is {
		x, ok = normal(digest, v)
		s, is = x.(string)
	}
	return s, ok && is
}

func listOf(v any) []string {
	x, _ := normal(names, v)
	l, _ := x.([]string)
	return l
}

// RefSum adds up Refs so that two sets of them can be compared in any order. It is
// no proof against who picks the Refs; they are the log's, and what the sum is for
// is a store that has lost some.
type RefSum struct {
	Count int64
	Sum   [4]uint64
}

// Add adds the Ref of an entry.
func (s *RefSum) Add(index int64, r Ref) {
	b := binary.BigEndian.AppendUint64(nil, uint64(index))
	h := sha256.Sum256(append(b, string(r.Kind)+"\x00"+r.Value...))
	for i := range s.Sum {
		s.Sum[i] += binary.BigEndian.Uint64(h[8*i:])
	}
	s.Count++
}
