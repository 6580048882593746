package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// facts is what a tenant's audit log says is there: by row, what it has to be
// like. The log was read whole, and its entries are those that were signed; nil
// when they are not.
type facts struct {
	prints    map[rowID]string // of resources, accounts, Teams and passkeys
	runs      map[string]bool  // that have not ended
	intents   map[string]*progress
	incidents map[string]bool // that are open
	marks     marks           // how many changes of each there were
	minimum   int64           // entries below it were pruned; marks count none of them
	at        map[rowID]int64 // the entry that each print, Run and incident is from
}

// progress is how far the log says that an Intent has come.
type progress struct {
	state  intent.State
	digest string
	fence  int64
	run    string
	votes  int // on the Decision that it waits for
}

// replay reads a tenant's whole log. It is read only when rows were found not to
// be what they have to be: it says which.
func (t *Tx) replay(tenant ident.Tenant, head audit.Head) (*facts, error) {
	f := newFacts()
	if head.Size == 0 {
		return f, nil
	}
	pruned, err := audit.LastPruned(t.ctx, logOf{t}, tenant)
	if err != nil {
		return nil, err
	}
	f.minimum = pruned.Minimum
	err = audit.Replay(head, pruned.Minimum, func(from int64, limit int) ([]audit.Row, error) {
		return auditRows(t.ctx, t.once, tenant, audit.Filter{}, from, limit)
	}, func(from, n int64) ([]tlog.Hash, error) { return t.leaves(tenant, from, n) }, func(e audit.Entry) { f.add(tenant, e) })
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		return nil, nil //nolint:nilnil // no facts is an answer: then nothing of these rows can be trusted
	}
	f.marks[markSecrets] += pruned.SecretChanges
	f.marks[markRing] += pruned.RingChanges
	return f, err
}

func newFacts() *facts {
	return &facts{prints: map[rowID]string{}, runs: map[string]bool{}, intents: map[string]*progress{}, incidents: map[string]bool{}, at: map[rowID]int64{}}
}

// logOf reads the audit log as the step sees it.
type logOf struct{ t *Tx }

func (l logOf) List(ctx context.Context, t ident.Tenant, f audit.Filter, from int64, limit int) ([]audit.Row, error) {
	return auditRows(ctx, l.t.once, t, f, from, limit)
}

// leaves are the stored hashes of entries.
func (t *Tx) leaves(tenant ident.Tenant, from, n int64) ([]tlog.Hash, error) {
	at := make([]int64, n)
	for i := range at {
		at[i] = tlog.StoredHashIndex(0, from+int64(i))
	}
	return auditHashes(t.ctx, t.once, tenant, at)
}

func (f *facts) add(tenant ident.Tenant, e audit.Entry) {
	text := func(field string) string { s, _ := e.Fields[field].(string); return s }
	id := func(tb *table, key ...string) rowID { return rowID{tenant, tb, strings.Join(key, "/")} }
	if e.Index >= f.minimum && slices.Contains(audit.SecretChanges, e.Type) {
		f.marks[markSecrets]++
	}
	if e.Index >= f.minimum && slices.Contains(audit.RingChanges, e.Type) {
		f.marks[markRing]++
	}
	set := func(tb *table, key ...string) {
		f.prints[id(tb, key...)], f.at[id(tb, key...)] = text("row"), e.Index
	}
	switch e.Type {
	case audit.ResourceApplied:
		set(tbResource, text("kind"), text("name"))
	case audit.ResourceRemoved:
		delete(f.prints, id(tbResource, text("kind"), text("name")))
	case audit.AccountCreated, audit.AccountChanged:
		set(tbAccount, text("account"))
	case audit.TeamChanged:
		if set(tbTeam, text("team")); text("row") == "" {
			delete(f.prints, id(tbTeam, text("team")))
		}
	case audit.FactorEnrolled:
		set(tbPasskey, text("factor"))
	case audit.FactorRemoved:
		delete(f.prints, id(tbPasskey, text("factor")))
	case audit.WorkerTokenMinted:
		set(tbWorkerToken, text("name"))
	case audit.WorkerTokenRevoked:
		delete(f.prints, id(tbWorkerToken, text("name")))
	case audit.StopSet:
		set(tbStop, text("kind"), text("name"))
	case audit.StopLifted:
		delete(f.prints, id(tbStop, text("kind"), text("name")))
	case audit.HoldSet:
		set(tbHold, text("kind"), text("name"))
	case audit.HoldLifted:
		delete(f.prints, id(tbHold, text("kind"), text("name")))
	case audit.RecordsKeyed:
		set(tbRecordKey, text("name"))
	case audit.ToolChanged:
		set(tbToolChange, text("name"))
	case audit.ToolSettled:
		delete(f.prints, id(tbToolChange, text("name")))
	case audit.RotationPolicySet:
		set(tbRotationPolicy, text("secret"))
	case audit.RotationPolicyRemoved:
		delete(f.prints, id(tbRotationPolicy, text("secret")))
	case audit.RotationStarted, audit.RotationStepped:
		set(tbRotation, text("rotation"))
	case audit.RotationEnded:
		delete(f.prints, id(tbRotation, text("rotation")))
	case audit.LeaseAsked, audit.LeaseMade, audit.LeaseLeft:
		set(tbLease, text("lease"))
	case audit.LeaseRevoked:
		delete(f.prints, id(tbLease, text("lease")))
	case audit.RunStarted:
		f.runs[e.Run], f.at[id(tbRun, e.Run)] = true, e.Index
	case audit.RunEnded:
		delete(f.runs, e.Run)
	case audit.WorkerIncident, audit.IncidentOpened:
		f.incidents[text("incident")], f.at[id(tbIncident, text("incident"))] = true, e.Index
	case audit.IncidentClosed:
		delete(f.incidents, text("incident"))
	default:
		f.follow(e, intent.State(text("state")), text("verdict"), text("digest"))
	}
}

// follow takes an Intent a step further.
func (f *facts) follow(e audit.Entry, state intent.State, verdict, digest string) {
	p := f.intents[e.Intent]
	switch e.Type {
	case audit.IntentParked, audit.IntentEdited:
		if state = intent.Parked; p != nil {
			p.votes = 0
		}
	case audit.DecisionVoted, audit.DecisionBreakGlass:
		if p != nil {
			p.votes++
		}
		return
	case audit.IntentDecided:
		if state = intent.State(strings.ToUpper(verdict)); p == nil {
			p = &progress{}
		}
	case audit.IntentClaimed:
		state = intent.Claimed
	case audit.IntentSending:
		state = intent.Sending
	case audit.IntentDenied:
		if p == nil { // what was refused at once was not stored
			return
		}
	case audit.IntentOutcome, audit.IntentSwept, audit.IntentResolved:
	default:
		return
	}
	if p == nil {
		p = &progress{}
	}
	f.intents[e.Intent], p.run = p, e.Run
	if fence, ok := e.Fields["fence"].(int64); ok {
		p.fence = fence
	} else if e.Type == audit.IntentSwept && state == intent.Claimed {
		p.fence++
	}
	if digest != "" {
		p.digest = digest
	}
	if p.state = state; state.Final() {
		delete(f.intents, e.Intent)
	}
}

// compare finds the rows of tables that are not what the log says, or that it
// says are there and are not. genuine says that the sums are: then something is
// wrong with each of these tables, and where the log does not show what, any of
// the rows may be it, so all are refused. Without sums the log alone decides; of
// sessions, factors and challenges it does not say enough, so they end.
func (l *loading) compare(f *facts, differ []*table, genuine bool) {
	for _, tb := range differ {
		if f != nil && tb != tbSession && tb != tbFactor && tb != tbPending {
			// While rows are lost, the sum of the Intents is without theirs, and the log
			// alone says what they have to be.
			if l.against(f, tb); !genuine || l.found(tb) || tb == tbIntent && l.a.lost {
				continue
			}
		}
		for id, k := range l.a.rows {
			if id.table == tb && k.why == "" {
				l.bad[id] = whySome
			}
		}
		if genuine && !l.found(tb) {
			l.bad[rowID{l.tenant, tb, ""}] = whySome
		}
	}
}

// found says whether any row of a table was; a Team's two tables are one.
func (l *loading) found(tb *table) bool {
	for id := range l.bad {
		if id.table == tb || tb == tbMember && id.table == tbTeam || tb == tbTeam && id.table == tbMember {
			return true
		}
	}
	return false
}

func (l *loading) against(f *facts, tb *table) {
	switch tb {
	case tbResource, tbAccount, tbPasskey, tbStop, tbHold, tbWorkerToken, tbRecordKey, tbToolChange, tbRotationPolicy, tbRotation, tbLease:
		l.prints(f, tb, func(r *row) string {
			b, err := l.t.s.print(r)
			if err != nil {
				return ""
			}
			return hex.EncodeToString(b)
		})
	case tbTeam, tbMember:
		l.prints(f, tbTeam, func(r *row) string { return l.t.teamPrint(l.team(r)) })
		l.wholeTeams()
	case tbRun:
		l.open(tb, f.runs, func(*row) bool { return true })
	case tbIntent:
		open := map[string]bool{}
		for id := range f.intents {
			open[id] = true
		}
		l.open(tb, open, func(r *row) bool {
			p := f.intents[r.text("id")]
			var body struct{ Digest string }
			return json.Unmarshal([]byte(r.text("body")), &body) == nil && p.state == r.state("state") && p.fence == r.number("fence") && (p.digest == "" || p.digest == body.Digest)
		})
	case tbDecision:
		l.decisions(f)
	case tbIncident:
		l.open(tb, f.incidents, func(*row) bool { return true })
	}
}

// wholeTeams refuses a Team with all its members: the log has one fingerprint of
// them together.
func (l *loading) wholeTeams() {
	for id, why := range maps.Clone(l.bad) {
		if id.table != tbTeam {
			continue
		}
		if why == whyOld {
			l.bad[id] = whyTeam
		}
		for m := range l.stored {
			if m.table == tbMember && strings.HasPrefix(m.key, id.key+"/") && l.bad[m] == "" {
				l.bad[m] = whyTeam
			}
		}
	}
}

// prints compares rows whose fingerprints the log has.
func (l *loading) prints(f *facts, tb *table, print func(*row) string) {
	for id, r := range l.stored {
		if id.table != tb || l.bad[id] != "" || l.a.rows[id].why != "" {
			continue
		}
		if want, ok := f.prints[id]; !ok {
			l.bad[id] = "it is not in the audit log: it was put in"
		} else if want != print(r) {
			l.bad[id] = whyOld
		}
	}
	for id := range f.prints {
		if id.table == tb && l.stored[id] == nil {
			l.bad[id] = whyRemoved
		}
	}
}

// open compares rows of which the log says only that they are live.
func (l *loading) open(tb *table, open map[string]bool, same func(*row) bool) {
	for id, r := range l.stored {
		switch {
		case id.table != tb || l.bad[id] != "" || l.a.rows[id].why != "":
		case !open[id.key]:
			l.bad[id] = whyNotLast
		case !same(r):
			l.bad[id] = whyOld
		}
	}
	for key := range open {
		if id := (rowID{l.tenant, tb, key}); l.stored[id] == nil {
			l.bad[id] = whyRemoved
		}
	}
}

// decisions compares the open ones with the Intents that wait: each has one.
func (l *loading) decisions(f *facts) {
	waits := map[string]bool{}
	for id, p := range f.intents {
		waits[id] = p.state == intent.Parked
	}
	for id, r := range l.stored {
		if id.table != tbDecision || l.bad[id] != "" || l.a.rows[id].why != "" {
			continue
		}
		d, err := decisionOf(r)
		if of := r.text("intent"); err != nil || !waits[of] || f.intents[of].digest != r.text("digest") || f.intents[of].votes != len(d.Votes) {
			l.bad[id] = whyNotLast
		}
		delete(waits, r.text("intent"))
	}
	for of, waiting := range waits {
		if waiting {
			l.bad[rowID{l.tenant, tbDecision, "of " + of}] = whyRemoved
		}
	}
}

// team is a Team's rows: its own, then its members'.
func (l *loading) team(r *row) []*row {
	out := []*row{r}
	for id, m := range l.stored {
		if id.table == tbMember && m.text("team") == r.text("id") {
			out = append(out, m)
		}
	}
	return out
}

// teamPrint is the fingerprint of a Team with its members.
func (t *Tx) teamPrint(rows []*row) string {
	var all []string
	for _, r := range rows {
		b, err := t.s.print(r)
		if err != nil {
			return "" // equals no digest
		}
		all = append(all, string(b))
	}
	slices.Sort(all)
	h := sha256.Sum256([]byte(strings.Join(all, "")))
	return hex.EncodeToString(h[:])
}
