package decision_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

var now = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// scene is everything that Judge looks at, all of it in order.
type scene struct {
	d decision.Decision
	i intent.Intent
	c decision.Candidate
	v decision.Verdict
	p decision.Parties
	t time.Time
}

func (s *scene) judge() (bool, error) { return decision.Judge(s.d, s.i, s.c, s.v, s.p, s.t) }

func good(t *testing.T) *scene {
	t.Helper()
	i := intent.Intent{Tenant: "acme", ID: "int_1", Revision: 2, Run: "run_1", Mission: "m", Starter: "acc_starter", Connection: "erp-write",
		Tool: "create", Effect: resource.Write, Args: json.RawMessage(`{"a":1}`), Reason: "because", State: intent.Parked, CreatedAt: now.Add(-time.Hour)}
	i.Bound = intent.Bound{Tenant: i.Tenant, Run: i.Run, Intent: i.ID, Revision: i.Revision, Mission: i.Mission, Connection: i.Connection,
		Integration: "erp", IntegrationRevision: 3, Tool: i.Tool, ToolDigest: "td", Args: i.Args, Reason: i.Reason, SecretRef: "erp", VersionRule: "active",
		Request: intent.Request{Method: "POST", URL: "https://erp.example/v", Headers: map[string]string{"X-Ref": "int_1"}, Body: `{"a":1}`}}
	i.Digest = digest(t, i.Bound)
	d, err := decision.New(i, "finance", 0, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	d.TeamID = "team_1"
	who := ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_ann", Name: "Ann"}
	return &scene{d: d, i: i, v: decision.Approve, t: now, c: decision.Candidate{Principal: who, Since: now.Add(-2 * time.Hour), Seen: i.Digest,
		Factor: &decision.Factor{ID: "fac_1", Tenant: "acme", Account: who.ID, Method: "password+totp", At: now.Add(-time.Minute), For: d.Act(decision.Approve, who.ID)}}}
}

func digest(t *testing.T, b intent.Bound) intent.Digest {
	t.Helper()
	d, err := b.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAGoodVerdictCounts(t *testing.T) {
	if self, err := good(t).judge(); err != nil || self {
		t.Fatalf("judged %v, %v", self, err)
	}
}

// Every field that an approver relies on, changed by itself, is refused, and so
// is the change when the digest is made to fit.
func TestOneChangedFieldIsRefused(t *testing.T) {
	changes := map[string]func(b *intent.Bound){
		"tenant":               func(b *intent.Bound) { b.Tenant = "globex" },
		"run":                  func(b *intent.Bound) { b.Run = "run_2" },
		"intent":               func(b *intent.Bound) { b.Intent = "int_2" },
		"revision":             func(b *intent.Bound) { b.Revision = 3 },
		"mission":              func(b *intent.Bound) { b.Mission = "n" },
		"connection":           func(b *intent.Bound) { b.Connection = "erp-admin" },
		"integration":          func(b *intent.Bound) { b.Integration = "crm" },
		"integration revision": func(b *intent.Bound) { b.IntegrationRevision = 4 },
		"tool":                 func(b *intent.Bound) { b.Tool = "delete" },
		"tool digest":          func(b *intent.Bound) { b.ToolDigest = "te" },
		"arguments":            func(b *intent.Bound) { b.Args = json.RawMessage(`{"a":2}`) },
		"method":               func(b *intent.Bound) { b.Request.Method = "PUT" },
		"URL":                  func(b *intent.Bound) { b.Request.URL = "https://erp.example/w" },
		"a header":             func(b *intent.Bound) { b.Request.Headers = map[string]string{"X-Ref": "int_2"} },
		"body":                 func(b *intent.Bound) { b.Request.Body = `{"a":2}` },
		"reason":               func(b *intent.Bound) { b.Reason = "no reason" },
		"secret":               func(b *intent.Bound) { b.SecretRef = "erp-admin" },
		"version rule":         func(b *intent.Bound) { b.VersionRule = "v7" },
	}
	for name, change := range changes {
		s := good(t)
		change(&s.i.Bound)
		wantCode(t, name, s, decision.Changed)
		s.i.Digest = digest(t, s.i.Bound)
		wantCode(t, name+", with its digest", s, decision.Changed)
		s.d.State, s.d.By, s.d.Factor = decision.Approved, "acc_ann", "fac_1"
		if err := s.d.Holds(s.i, now); decision.CodeOf(err) != decision.Changed {
			t.Errorf("%s: the approval holds for it: %v", name, err)
		}
	}
}

func wantCode(t *testing.T, what string, s *scene, want decision.Code) {
	t.Helper()
	self, err := s.judge()
	if decision.CodeOf(err) != want {
		t.Errorf("%s: got %v (%q), want %q", what, err, decision.CodeOf(err), want)
	}
	if self && err == nil {
		t.Errorf("%s: counted as a self-approval", what)
	}
	if k := fault.KindOf(err); want != "" && k != fault.Denied && k != fault.Conflict && k != fault.NotFound && k != fault.Invalid {
		t.Errorf("%s: the refusal is of kind %q", what, k)
	}
}

func TestEachRefusalHasItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		want decision.Code
		do   func(*scene)
	}{
		"no tenant":                     {decision.OtherTenant, func(s *scene) { s.c.Principal.Tenant = "" }},
		"another tenant's person":       {decision.OtherTenant, func(s *scene) { s.c.Principal.Tenant = "globex" }},
		"another tenant's intent":       {decision.OtherTenant, func(s *scene) { s.i.Tenant = "globex" }},
		"a Run":                         {decision.NotAPerson, func(s *scene) { s.c.Principal.Kind = ident.Run }},
		"nobody":                        {decision.NotAPerson, func(s *scene) { s.c.Principal.ID = "" }},
		"no verdict":                    {decision.NoVerdict, func(s *scene) { s.v = "" }},
		"decided":                       {decision.NotOpen, func(s *scene) { s.d.State = decision.Approved }},
		"no longer parked":              {decision.NotOpen, func(s *scene) { s.i.State = intent.Approved }},
		"policy's":                      {decision.NotOpen, func(s *scene) { s.d.AutoBy = decision.AutoByPolicy }},
		"expired to the instant":        {decision.TooLate, func(s *scene) { s.t = s.d.ExpiresAt }},
		"another run":                   {decision.OtherIntent, func(s *scene) { s.d.Run = "run_2" }},
		"another revision":              {decision.OtherIntent, func(s *scene) { s.d.Revision = 1 }},
		"shown arguments differ":        {decision.Changed, func(s *scene) { s.i.Args = json.RawMessage(`{"a":3}`) }},
		"shown tool differs":            {decision.Changed, func(s *scene) { s.i.Tool = "read" }},
		"shown reason differs":          {decision.Changed, func(s *scene) { s.i.Reason = "harmless" }},
		"nothing was seen":              {decision.Changed, func(s *scene) { s.c.Seen = "" }},
		"no digest at all":              {decision.Changed, func(s *scene) { s.d.Digest, s.i.Digest, s.c.Seen = "", "", "" }},
		"not in the team":               {decision.NotInTeam, func(s *scene) { s.c.Since = time.Time{} }},
		"a Decision of no team":         {decision.NotInTeam, func(s *scene) { s.d.TeamID = "" }},
		"joined at the intent's time":   {decision.JoinedLater, func(s *scene) { s.c.Since = s.i.CreatedAt }},
		"the starter":                   {decision.OwnApproval, func(s *scene) { s.i.Starter = "acc_ann" }},
		"the starter, as a principal":   {decision.OwnApproval, func(s *scene) { s.i.Starter = "person:acc_ann" }},
		"the starter of the Run":        {decision.OwnApproval, func(s *scene) { s.p.Starter = "person:acc_ann" }},
		"a delegate":                    {decision.OwnApproval, func(s *scene) { s.p.Delegates = []string{"acc_x", "acc_ann"} }},
		"the worker":                    {decision.OwnApproval, func(s *scene) { s.p.Worker = "acc_ann" }},
		"the worker's owner":            {decision.OwnApproval, func(s *scene) { s.p.Owner = "acc_ann" }},
		"a secret stands in the action": {decision.Altered, func(s *scene) { s.c.Altered = true }},
		"also for a good factor's lack": {decision.Altered, func(s *scene) { s.c.Altered, s.c.Factor = true, nil }},
		"not told to who may not":       {decision.NotInTeam, func(s *scene) { s.c.Altered, s.c.Since = true, time.Time{} }},
		"no factor":                     {decision.NoFactor, func(s *scene) { s.c.Factor = nil }},
		"a factor without id":           {decision.NoFactor, func(s *scene) { s.c.Factor.ID = "" }},
		"a factor for nothing":          {decision.OtherFactor, func(s *scene) { s.c.Factor.For = "" }},
		"a factor of somebody else":     {decision.OtherFactor, func(s *scene) { s.c.Factor.Account = "acc_bob" }},
		"a factor of another tenant":    {decision.OtherFactor, func(s *scene) { s.c.Factor.Tenant = "globex" }},
		"a factor for the intent alone": {decision.OtherFactor, func(s *scene) { s.c.Factor.For = s.i.Digest }},
		"a factor for the other":        {decision.OtherFactor, func(s *scene) { s.v = decision.Reject }},
		"an old factor":                 {decision.StaleFactor, func(s *scene) { s.c.Factor.At = now.Add(-decision.FactorLife - time.Millisecond) }},
		"a factor of tomorrow":          {decision.StaleFactor, func(s *scene) { s.c.Factor.At = now.Add(time.Millisecond) }},
	} {
		s := good(t)
		c.do(s)
		wantCode(t, name, s, c.want)
	}
}

func TestWhatIsHeldCanBeRejected(t *testing.T) {
	s := good(t)
	s.c.Altered, s.v = true, decision.Reject
	s.c.Factor.For = s.d.Act(decision.Reject, s.c.Principal.ID)
	if _, err := s.judge(); err != nil {
		t.Fatal(err)
	}
	s.p.AllowSelfApproval, s.i.Starter, s.v = true, s.c.Principal.ID, decision.Approve
	wantCode(t, "an approval that the Mission allows the starter", s, decision.Altered)
}

func TestSelfApprovalCountsWhereTheMissionAllowsItAndIsMarked(t *testing.T) {
	s := good(t)
	s.i.Starter, s.p.AllowSelfApproval = "acc_ann", true
	if self, err := s.judge(); err != nil || !self {
		t.Fatalf("judged %v, %v", self, err)
	}
	s.c.Factor = nil
	wantCode(t, "self-approval without a factor", s, decision.NoFactor)
}

func TestADecisionLivesSevenDaysAndThirtyAtMost(t *testing.T) {
	i := good(t).i
	for life, want := range map[time.Duration]time.Duration{0: decision.DefaultLife, time.Hour: time.Hour, decision.MaxLife: decision.MaxLife} {
		d, err := decision.New(i, "finance", life, now)
		if err != nil || !d.ExpiresAt.Equal(now.Add(want)) || d.State != decision.Open {
			t.Errorf("a life of %v gives %+v, %v", life, d, err)
		}
	}
	for _, life := range []time.Duration{-1, decision.MaxLife + 1} {
		if _, err := decision.New(i, "finance", life, now); !fault.Is(err, fault.Invalid) {
			t.Errorf("a life of %v: %v", life, err)
		}
	}
	if _, err := decision.New(i, "", 0, now); !fault.Is(err, fault.Invalid) {
		t.Errorf("no Team: %v", err)
	}
	i.Digest = strings65(i.Digest)
	if _, err := decision.New(i, "finance", 0, now); decision.CodeOf(err) != decision.Changed {
		t.Errorf("a digest that is not the Intent's: %v", err)
	}
}

func strings65(d intent.Digest) intent.Digest { return d[:63] + "x" }

func TestAnActIsOfOneVerdictByOnePersonOnOneDecision(t *testing.T) {
	d := good(t).d
	seen := map[intent.Digest]string{d.Act(decision.Approve, "acc_ann"): "itself"}
	for name, change := range map[string]func(*decision.Decision){
		"tenant": func(d *decision.Decision) { d.Tenant = "globex" }, "id": func(d *decision.Decision) { d.ID = "dec_2" },
		"intent": func(d *decision.Decision) { d.Intent = "int_2" }, "revision": func(d *decision.Decision) { d.Revision++ },
		"digest": func(d *decision.Decision) { d.Digest = "x" }, "team": func(d *decision.Decision) { d.TeamID = "team_2" },
		"expiry": func(d *decision.Decision) { d.ExpiresAt = d.ExpiresAt.Add(time.Millisecond) },
	} {
		c := d
		change(&c)
		a := c.Act(decision.Approve, "acc_ann")
		if other := seen[a]; other != "" || a == "" {
			t.Errorf("the act with another %s is that of %s", name, other)
		}
		seen[a] = name
	}
	if seen[d.Act(decision.Reject, "acc_ann")] != "" || seen[d.Act(decision.Approve, "acc_bob")] != "" {
		t.Error("the act is the same for another verdict or person")
	}
}

func TestAnApprovalHoldsForItsIntentAlone(t *testing.T) {
	for name, c := range map[string]struct {
		want decision.Code
		do   func(*scene)
	}{
		"it holds":                {"", func(*scene) {}},
		"by a policy":             {"", func(s *scene) { s.d = decision.ByPolicy(s.i, []string{"p/1"}, "set", now) }},
		"by no policy":            {decision.NotApproved, func(s *scene) { s.d = decision.ByPolicy(s.i, nil, "set", now) }},
		"by a policy of no set":   {decision.NotApproved, func(s *scene) { s.d = decision.ByPolicy(s.i, []string{"p/1"}, "", now) }},
		"by nobody":               {decision.NotApproved, func(s *scene) { s.d.By = "" }},
		"without a factor":        {decision.NotApproved, func(s *scene) { s.d.Factor = "" }},
		"open":                    {decision.NotApproved, func(s *scene) { s.d.State = decision.Open }},
		"void":                    {decision.NotApproved, func(s *scene) { s.d.State = decision.Void }},
		"rejected":                {decision.NotApproved, func(s *scene) { s.d.State = decision.Rejected }},
		"expired":                 {decision.TooLate, func(s *scene) { s.t = s.d.ExpiresAt }},
		"of another tenant":       {decision.OtherTenant, func(s *scene) { s.d.Tenant = "globex" }},
		"of another intent":       {decision.OtherIntent, func(s *scene) { s.d.Intent = "int_2" }},
		"the zero Decision":       {decision.OtherTenant, func(s *scene) { s.d = decision.Decision{} }},
		"of another revision":     {decision.OtherIntent, func(s *scene) { s.d.Revision++ }},
		"rendered in another way": {decision.Changed, func(s *scene) { s.i.Bound.Request.URL += "/" }},
	} {
		s := good(t)
		s.d.State, s.d.By, s.d.Factor = decision.Approved, "acc_ann", "fac_1"
		c.do(s)
		if err := s.d.Holds(s.i, s.t); decision.CodeOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzCleanReason(f *testing.F) {
	for _, s := range []string{"", "fine", " a\n\nb\t c ", "left\u202eright", "\x00\x1b[31m", "\xff", strings.Repeat("x", 501), "zero\u200bwidth", "ünïcödé ✓"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, err := decision.CleanReason(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || out != "" {
				t.Fatalf("got %q, %v", out, err)
			}
			return
		}
		if len(out) > decision.MaxReason || out != strings.TrimSpace(out) || strings.ContainsFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q became %q", s, out)
		}
		if again, err := decision.CleanReason(out); err != nil || again != out {
			t.Fatalf("%q is not clean: %q, %v", out, again, err)
		}
	})
}
