package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Votes as letters: the person, then the Team that they voted for.
func votes(text string) (out []decision.Vote) {
	for _, w := range strings.Fields(text) {
		out = append(out, decision.Vote{Account: w[:1], TeamID: w[1:], Verdict: decision.Approve, Factor: "fac"})
	}
	return out
}

func TestNeedsAreMetByDifferentPeopleOfEachTeam(t *testing.T) {
	f2l1 := []decision.Need{{Team: "finance", TeamID: "f", Count: 2}, {Team: "legal", TeamID: "l", Count: 1}}
	for _, c := range []struct{ votes, missing string }{
		{"", "2 of finance, 1 of legal"},
		{"af", "1 of finance, 1 of legal"},
		{"af af", "1 of finance, 1 of legal"},
		{"af al", "1 of finance, 1 of legal"},
		{"af bf", "1 of legal"},
		{"af bf cf", "1 of legal"},
		{"al bl", "2 of finance"},
		{"ax bx cx", "2 of finance, 1 of legal"},
		{"cl af bf", ""},
	} {
		got := decision.Says(decision.Missing(f2l1, votes(c.votes)))
		if got != c.missing || decision.Met(f2l1, votes(c.votes)) != (c.missing == "") {
			t.Errorf("with %q there is missing %q, want %q", c.votes, got, c.missing)
		}
	}
	for what, spoil := range map[string]func(*decision.Vote){
		"without a factor": func(v *decision.Vote) { v.Factor = "" }, "of nobody": func(v *decision.Vote) { v.Account = "" },
		"against it": func(v *decision.Vote) { v.Verdict = decision.Reject }, "of an admin": func(v *decision.Vote) { v.Glass = true }, "of no verdict": func(v *decision.Vote) { v.Verdict = "" },
	} {
		vs := votes("af bf cl")
		spoil(&vs[1])
		if decision.Met(f2l1, vs) {
			t.Errorf("a vote %s counts", what)
		}
	}
	if decision.Met(nil, votes("af")) || decision.Met([]decision.Need{{Team: "finance", Count: 1}}, votes("a")) {
		t.Error("where nobody, or no Team, is needed, a vote is an approval")
	}
}

func TestOfTheSameTeamTheHighestCountIsNeeded(t *testing.T) {
	i := good(t).i
	d, err := decision.New(i, []decision.Need{{Team: "a", Count: 1}, {Team: "b", Count: 2}, {Team: "a", Count: 3}}, 0, now)
	if err != nil || decision.Says(d.Needs) != "3 of a, 2 of b" {
		t.Errorf("it needs %v, %v", d.Needs, err)
	}
	for _, n := range []int{0, -1, decision.MaxCount + 1} {
		if _, err := decision.New(i, []decision.Need{{Team: "a", Count: n}}, 0, now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d of a Team: %v", n, err)
		}
	}
}

func TestAnActOnAListIsOfThatListAlone(t *testing.T) {
	a, b := good(t).d, good(t).d
	b.ID = "dec_2"
	seen := map[intent.Digest]string{}
	for what, act := range map[string]intent.Digest{
		"both": decision.ActAll([]decision.Decision{a, b}, decision.Approve, "x"), "the other order": decision.ActAll([]decision.Decision{b, a}, decision.Approve, "x"),
		"a list of one": decision.ActAll([]decision.Decision{a}, decision.Approve, "x"), "one": a.Act(decision.Approve, "x"),
		"a rejection": decision.ActAll([]decision.Decision{a, b}, decision.Reject, "x"), "somebody else": decision.ActAll([]decision.Decision{a, b}, decision.Approve, "y"),
		"none": decision.ActAll(nil, decision.Approve, "x"), "the glass": a.Act(decision.Glass, "x"),
	} {
		if seen[act] != "" || act == "" {
			t.Errorf("the act of %s is that of %s", what, seen[act])
		}
		seen[act] = what
	}
}

func TestTheGlassIsNoWayAroundTheRules(t *testing.T) {
	for name, c := range map[string]struct {
		want decision.Code
		do   func(*scene)
	}{
		"an admin of before":        {"", func(*scene) {}},
		"no admin":                  {decision.NotAdmin, func(s *scene) { s.c.Admin = time.Time{} }},
		"an admin since then":       {decision.NotAdmin, func(s *scene) { s.c.Admin = s.i.CreatedAt }},
		"who was there already":     {decision.Voted, func(s *scene) { s.d.Votes = []decision.Vote{{Account: "acc_ann", Glass: true}} }},
		"a member who has voted":    {"", func(s *scene) { s.d.Votes = []decision.Vote{{Account: "acc_ann", TeamID: "team_1"}} }},
		"a party":                   {decision.OwnApproval, func(s *scene) { s.p.Owner, s.p.AllowSelfApproval = "acc_ann", true }},
		"what can't be shown":       {decision.Altered, func(s *scene) { s.c.Altered = true }},
		"no reason":                 {decision.NoReason, func(s *scene) { s.c.Reason = "" }},
		"too late":                  {decision.TooLate, func(s *scene) { s.t = s.d.ExpiresAt }},
		"a factor for an approval":  {decision.OtherFactor, func(s *scene) { s.c.Factor.For = s.d.Act(decision.Approve, "acc_ann") }},
		"a session alone":           {decision.NoFactor, func(s *scene) { s.c.Factor = nil }},
		"a Run":                     {decision.NotAPerson, func(s *scene) { s.c.Principal.Kind = ident.Run }},
		"another page":              {decision.Changed, func(s *scene) { s.c.Seen = "x" }},
		"what was rejected already": {decision.NotOpen, func(s *scene) { s.d.State = decision.Rejected }},
	} {
		s := good(t)
		s.v, s.c.Since, s.c.Admin, s.c.Reason = decision.Glass, nil, now.AddDate(0, 0, -1), "fire"
		s.c.Factor.For = s.d.Act(decision.Glass, "acc_ann")
		c.do(s)
		if c.want != "" {
			wantCode(t, name, s, c.want)
			continue
		}
		if v, err := decision.Judge(s.d, s.i, s.c, s.v, s.p, s.t); err != nil || !v.Glass || v.Verdict != decision.Approve || v.TeamID != "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func FuzzCleanNote(f *testing.F) {
	for _, s := range []string{"", "fine", " a\n\nb\t c ", "left\u202eright", "\x00\x1b[31m", "\xff", strings.Repeat("x", decision.MaxNote+1), "zero\u200bwidth", fmt.Sprint("\r\n", "x")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, err := decision.CleanNote(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || out != "" {
				t.Fatalf("got %q, %v", out, err)
			}
			return
		}
		if out == "" || len(out) > decision.MaxNote || strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Fatalf("%q became %q", s, out)
		}
		if again, err := decision.CleanNote(out); err != nil || again != out {
			t.Fatalf("%q is not clean: %q, %v", out, again, err)
		}
	})
}
