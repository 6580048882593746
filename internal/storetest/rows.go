package storetest

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Besieged is a store whose tables somebody else can write, who has no key.
type Besieged struct {
	Store Store
	// Write changes stored rows behind the store's back; it says how many.
	Write func(query string) int64
	// Apply stores a resource.
	Apply Apply
	// Again closes the store and opens it once more, as a restart does.
	Again func() Store
}

// Rows plays attacks on stored rows: while the store is open, and between two
// openings. Each row that was changed, put in or put back is refused as Denied,
// and the audit log names it. What was not touched works on.
func Rows(t *testing.T, open func(*testing.T) Besieged) {
	attacks := map[string]func(*siege){
		"an account's roles are raised":                    rolesRaised,
		"a disabled account is enabled":                    enabledAgain,
		"the row of a disabled account is put back":        accountPutBack,
		"the row with an old password is put back":         passwordPutBack,
		"somebody is put into a Team":                      putIntoTeam,
		"a membership is made older":                       madeOlder,
		"a member is taken out of a Team":                  takenOut,
		"a Decision is made approved":                      madeApproved,
		"an approved Decision is copied to another Intent": copiedDecision,
		"a rejected Decision is put back as it was":        decisionPutBack,
		"a vote is put into a Decision":                    votePutIn,
		"a vote is put back to before it":                  votePutBack,
		"the needs of a Decision are lowered":              needsLowered,
		"a Team that waits is exchanged":                   needsExchanged,
		"what an action was is altered":                    revisionAltered,
		"what an action was is removed":                    revisionRemoved,
		"an answer is altered":                             answerAltered,
		"an answer is removed":                             answerRemoved,
		"an account is made an admin's for longer":         adminForLonger,
		"a committed write is put back as APPROVED":        func(a *siege) { writePutBack(a, intent.Approved) },
		"a committed write is put back as CLAIMED":         func(a *siege) { writePutBack(a, intent.Claimed) },
		"a committed write is put back as SENDING":         func(a *siege) { writePutBack(a, intent.Sending) },
		"a Run gets another starter":                       otherStarter,
		"a Run that has ended is put back":                 runPutBack,
		"a row is moved to another tenant":                 movedAway,
		"a used factor is made unused":                     factorAgain,
		"a session that has ended is put back":             sessionPutBack,
		"an open incident is made closed":                  incidentClosed,
		"an open incident is removed":                      incidentRemoved,
		"an incident's Secret is another":                  incidentOfAnother,
		"a closed incident is put back":                    incidentPutBack,
		"a use of a limit is removed":                      func(a *siege) { useChanged(a, `DELETE FROM policy_use WHERE intent = 'INTENT'`) },
		"all uses of limits are removed":                   func(a *siege) { useChanged(a, `DELETE FROM policy_use`) },
		"a use of a limit is made smaller":                 func(a *siege) { useChanged(a, `UPDATE policy_use SET amount = 1 WHERE intent = 'INTENT'`) },
		"a use of a limit is made to count no more":        func(a *siege) { useChanged(a, `UPDATE policy_use SET at = 1, until = 2`) },
		"a use is moved to another limit":                  func(a *siege) { useChanged(a, `UPDATE policy_use SET scope = 'another' WHERE intent = 'INTENT'`) },
		"a Worker's token is moved to another Worker":      movedWorkerToken,
		"a Worker's token is made to last longer":          longerWorkerToken,
		"a Worker's token that was revoked is put back":    workerTokenPutBack,
		"a passkey gets another key":                       otherKey,
		"a passkey is moved to another person":             movedPasskey,
		"a passkey's waiting period is shortened":          shorterWait,
		"a passkey that was removed is put back":           passkeyPutBack,
		"a passkey is hidden":                              hiddenPasskey,
		"a challenge that was used is put back":            challengePutBack,
		"a lease is made one of somebody else's": func(a *siege) {
			leaseChanged(a, `UPDATE lease SET lease = 'database/creds/other/y' WHERE id = 'les_one'`)
		},
		"a lease is given another holder":                       func(a *siege) { leaseChanged(a, `UPDATE lease SET handle = 'another' WHERE id = 'les_one'`) },
		"a lease is made one of another server":                 func(a *siege) { leaseChanged(a, `UPDATE lease SET place = 'another' WHERE id = 'les_one'`) },
		"a lease is moved to another Run":                       func(a *siege) { leaseChanged(a, `UPDATE lease SET run = 'run_two' WHERE id = 'les_one'`) },
		"a lease is removed":                                    func(a *siege) { leaseChanged(a, `DELETE FROM lease WHERE id = 'les_one'`) },
		"a lease that was revoked is put back":                  leasePutBack,
		"what is known of the rows is removed, with a row back": headRemoved,
		"a rotation's state is another":                         rotationChanged(`state = 'deleting', body = replace(body, '"state":"trying"', '"state":"deleting"')`),
		"a rotation's version is another":                       rotationChanged(`body = replace(body, '"was":1', '"was":2')`),
		"a rotation's program is another":                       rotationChanged(`body = replace(body, 'ldap', 'evil')`),
		"a rotation is another Secret's":                        rotationChanged(`secret = 'erp', body = replace(body, '"crm"', '"erp"')`),
		"a rotation is another tenant's":                        rotationChanged(`tenant = 'globex'`),
		"a rotation's revision is set back":                     rotationChanged(`revision = 1`),
		"a rotation is made ended":                              rotationChanged(`state = 'done', body = replace(body, '"state":"trying"', '"state":"done"')`),
		"a rotation is put back to an earlier step":             rotationPutBack,
		"a rotation that has ended is put back":                 endedRotationPutBack,
		"a rotation is removed":                                 rotationRemoved,
		"a rotation's policy is another":                        policyOfRotation(policyChanged),
		"a rotation's policy of once is put back":               policyOfRotation(policyPutBack),
		"a rotation's policy that was removed is put back":      policyOfRotation(removedPolicyPutBack),
		"a rotation's policy is another Secret's":               policyOfRotation(policyOfAnother),
	}
	for _, between := range []bool{false, true} {
		when := "while it is open"
		if between {
			when = "between two openings"
		}
		for name, attack := range attacks {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				b := open(t)
				attack(&siege{office: newOffice(t, b.Store), Besieged: b, between: between})
			})
		}
	}
}

// siege is an office under attack.
type siege struct {
	*office
	Besieged
	between bool
}

// strike makes the attack, of at least one row, and restarts where that is the
// story.
func (a *siege) strike(queries ...string) {
	a.t.Helper()
	for _, q := range queries {
		if n := a.Write(q); n == 0 && !strings.HasPrefix(q, "CREATE") {
			a.t.Fatalf("the attack changed nothing: %s", q)
		}
	}
	if a.between {
		a.office.Store = a.Again()
		again := NewWorld(a.t, a.office.Store)
		maps.Copy(again.Workers, a.Workers)
		dir := again.Dir
		a.Dir, a.desk.Store = dir, a.office.Store
		a.desk.Papers = a.office.Store
	}
}

// keep copies a table's rows, to be put back later.
func (a *siege) keep(table, where string) {
	a.Write("CREATE TEMP TABLE kept AS SELECT * FROM " + table + " WHERE " + where)
}

func (a *siege) putBack(table, where string) {
	a.t.Helper()
	a.strike("DELETE FROM "+table+" WHERE "+where, "INSERT INTO "+table+" SELECT * FROM kept")
}

// refused says that a read or a step was Denied, and that the log names the row.
func (a *siege) refused(err error, table, name string) {
	a.t.Helper()
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "is refused") {
		a.t.Errorf("it was not refused: %v", err)
	}
	a.named(table, name)
}

func (a *siege) named(table, name string) {
	a.t.Helper()
	es := a.entries(acme, audit.RowRefused)
	for _, e := range es {
		if e.Fields["kind"] == table && e.Fields["name"] == name {
			return
		}
	}
	a.t.Errorf("the audit log does not name %s %s: %+v", table, name, es)
}

func (a *siege) account(id string) error {
	_, err := a.office.Store.AccountByID(a.ctx, acme, id)
	return err
}

// unharmed says that everybody else's row is good.
func (a *siege) unharmed() {
	a.t.Helper()
	a.must(a.account(a.bob.Account.ID))
	_, err := a.office.Store.MemberSince(a.ctx, acme, "legal", a.eve.Account.ID)
	a.must(err)
}

func rolesRaised(a *siege) {
	a.strike(`UPDATE account SET roles = 'admin builder' WHERE name = 'ann'`)
	a.refused(a.account(a.ann.Account.ID), "account", a.ann.Account.ID)
	a.unharmed()
	all, err := a.office.Store.Accounts(a.ctx, acme)
	a.must(err)
	if len(all) != 3 {
		a.t.Errorf("%d accounts are listed", len(all))
	}
}

func enabledAgain(a *siege) {
	a.must(a.Dir.Disable(a.ctx, Admin(acme), acme, a.ann.Account.ID, true, a.Now))
	a.strike(`UPDATE account SET disabled = 0 WHERE name = 'ann'`)
	a.refused(a.account(a.ann.Account.ID), "account", a.ann.Account.ID)
	a.unharmed()
}

func accountPutBack(a *siege) {
	a.keep("account", "name = 'ann'")
	a.must(a.Dir.Disable(a.ctx, Admin(acme), acme, a.ann.Account.ID, true, a.Now))
	a.putBack("account", "name = 'ann'")
	a.refused(a.account(a.ann.Account.ID), "account", a.ann.Account.ID)
	a.unharmed()
}

func passwordPutBack(a *siege) {
	rea := a.Human(acme, "rea", ident.Requester)
	rea.SignIn()
	a.keep("account", "name = 'rea'")
	_, err := a.Dir.Reset(a.ctx, Admin(acme), acme, rea.Account.ID, a.Now)
	a.must(err)
	a.putBack("account", "name = 'rea'")
	a.Pass(time.Hour)
	_, _, err = a.Dir.SignIn(a.ctx, acme, "rea", Password, rea.NextCode(), a.Now)
	a.wantKind(err, fault.Unauthenticated) // who tries learns nothing
	a.named("account", rea.Account.ID)
	a.unharmed()
}

func (a *siege) since(account string) error {
	_, err := a.office.Store.MemberSince(a.ctx, acme, a.financeID, account)
	return err
}

// member names a membership of the finance Team, as refusals do.
func (a *siege) member(account string) (table, name string) {
	return "team_member", a.financeID + "/" + account
}

func putIntoTeam(a *siege) {
	a.strike(fmt.Sprintf(`INSERT INTO team_member (tenant, team, account, since, mac)
		SELECT tenant, '%s', account, since, mac FROM team_member WHERE account = '%s'`, a.financeID, a.eve.Account.ID))
	table, name := a.member(a.eve.Account.ID)
	a.refused(a.since(a.eve.Account.ID), table, name)
	a.unharmed()
}

func madeOlder(a *siege) {
	a.strike(`UPDATE team_member SET since = 1 WHERE account = '` + a.ann.Account.ID + `'`)
	table, name := a.member(a.ann.Account.ID)
	a.refused(a.since(a.ann.Account.ID), table, name)
	a.unharmed()
}

func takenOut(a *siege) {
	a.strike(`DELETE FROM team_member WHERE account = '` + a.ann.Account.ID + `'`)
	_, err := a.office.Store.Team(a.ctx, acme, "finance")
	if a.between {
		a.refused(err, "team", a.financeID)
	} else {
		a.refused(err, "team_member", a.financeID+"/"+a.ann.Account.ID)
	}
	a.unharmed()
}

// parked is a write that waits, with all its entries.
func (a *siege) parked() decision.Item {
	i := a.newIntent(acme)
	d, err := decision.New(i, a.needs, 0, a.Now)
	a.must(err)
	ev := audit.Event{Type: audit.IntentParked, Tenant: acme, At: a.Now, Actor: "run:" + i.Run, Run: i.Run, Intent: i.ID, Fields: map[string]any{"digest": i.Digest}}
	started := audit.Event{Type: audit.RunStarted, Tenant: acme, At: a.Now, Actor: "person:x", Run: i.Run}
	_, _, err = a.office.Store.Propose(a.ctx, gate.Proposed{Intent: i, ArgsDigest: intent.SHA256(i.Args), Decision: &d, MaxParked: 20, MaxCalls: 1000, Events: []audit.Event{started, ev}})
	a.must(err)
	it, err := a.desk.Get(a.ctx, acme, d.ID)
	a.must(err)
	return it
}

func madeApproved(a *siege) {
	it, other := a.parked(), a.parked()
	a.strike(`UPDATE decision SET state = 'approved', votes = '[{"account":"`+a.ann.Account.ID+`"}]' WHERE id = '`+it.Decision.ID+`'`,
		`UPDATE intent SET state = 'APPROVED' WHERE id = '`+it.Intent.ID+`'`)
	_, err := a.office.Store.DecisionOf(a.ctx, acme, it.Intent.ID)
	if err == nil {
		a.t.Error("a forged Decision was read")
	}
	_, err = a.office.Store.Step(a.ctx, commit.Step{Tenant: acme, Intent: it.Intent.ID, Run: it.Intent.Run, From: intent.Approved, To: intent.Claimed, At: a.Now})
	a.refused(err, "intent", it.Intent.ID)
	queue, err := a.desk.Queue(a.ctx, acme, decision.Filter{})
	a.must(err)
	seen := map[string]bool{} // by id: whether it is refused
	for _, q := range queue {
		seen[q.Decision.ID] = a.refusedInList(q)
	}
	if len(queue) != 2 || seen[other.Decision.ID] || !seen[it.Decision.ID] {
		a.t.Errorf("the queue has %+v", queue)
	}
	_, err = a.desk.Decide(a.ctx, a.request(other.Decision, decision.Approve, a.ann), a.Now)
	a.must(err)
}

func copiedDecision(a *siege) {
	it, other := a.parked(), a.parked()
	_, err := a.desk.Decide(a.ctx, a.request(it.Decision, decision.Approve, a.ann), a.Now)
	a.must(err)
	a.strike(`UPDATE decision SET state = 'void' WHERE id = '`+other.Decision.ID+`'`,
		`UPDATE decision SET intent = '`+other.Intent.ID+`' WHERE id = '`+it.Decision.ID+`'`)
	_, err = a.office.Store.DecisionOf(a.ctx, acme, other.Intent.ID)
	a.refused(err, "decision", it.Decision.ID)
}

func decisionPutBack(a *siege) {
	it := a.parked()
	a.keep("decision", "id = '"+it.Decision.ID+"'")
	_, err := a.desk.Decide(a.ctx, a.request(it.Decision, decision.Reject, a.ann), a.Now)
	a.must(err)
	a.putBack("decision", "id = '"+it.Decision.ID+"'")
	_, err = a.office.Store.Decision(a.ctx, acme, it.Decision.ID)
	a.refused(err, "decision", it.Decision.ID)
}

// waiting is a Decision that needs two, and has one.
func (a *siege) waiting() decision.Decision {
	a.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := a.parked().Decision
	a.approves(d, a.ann, decision.Open)
	return d
}

func (a *siege) decision(d decision.Decision) error {
	_, err := a.office.Store.Decision(a.ctx, acme, d.ID)
	return err
}

func votePutIn(a *siege) {
	d := a.waiting()
	a.strike(`UPDATE decision SET votes = json_insert(votes, '$[#]', json_object('account', '` + a.bob.Account.ID + `', 'teamId', '` + a.financeID + `', 'verdict', 'approve', 'factor', 'fac_x')) WHERE id = '` + d.ID + `'`)
	a.refused(a.decision(d), "decision", d.ID)
}

func votePutBack(a *siege) {
	a.needs = []decision.Need{{Team: "finance", Count: 2}}
	d, other := a.parked().Decision, a.parked().Decision
	a.keep("decision", "id = '"+d.ID+"'")
	a.approves(d, a.ann, decision.Open)
	a.approves(other, a.ann, decision.Open)
	a.putBack("decision", "id = '"+d.ID+"'") // she could vote once more
	a.refused(a.decision(d), "decision", d.ID)
	a.must(a.decision(other)) // the log says which of them it is
	a.approves(other, a.bob, decision.Approved)
}

func needsLowered(a *siege) {
	d := a.waiting()
	a.strike(`UPDATE decision SET needs = replace(needs, '"count":2', '"count":1') WHERE id = '` + d.ID + `'`)
	a.refused(a.decision(d), "decision", d.ID)
}

func needsExchanged(a *siege) {
	d := a.waiting()
	a.strike(`UPDATE decision SET needs = 'no list', state = 'open' WHERE id = '`+d.ID+`'`, `UPDATE decision_team SET decision = 'dec_x'`)
	items, err := a.desk.Queue(a.ctx, acme, decision.Filter{Member: a.ann.Account.ID})
	a.must(err)
	if len(items) != 0 {
		a.t.Errorf("it is in the queue: %+v", items)
	}
	a.refused(a.decision(d), "decision", d.ID)
}

// altered is a Decision whose action was changed, with a question and its answer.
func (a *siege) altered() decision.Decision {
	a.needs = of("finance")
	d := a.parked().Decision
	q, err := a.desk.Ask(a.ctx, a.ann.Account.Principal(), d.ID, d.Digest, "is it new?", a.Now)
	a.must(err)
	_, err = a.desk.Answer(a.ctx, a.starter.Account.Principal(), d.ID, q.ID, "no, and don't pay", a.Now)
	a.must(err)
	return a.edited(d)
}

// refusedInList says whether a list has nothing of an item but that it is refused.
func (a *siege) refusedInList(it decision.Item) bool {
	a.t.Helper()
	if it.Decision.Refused == "" {
		return false
	}
	if i := it.Intent; i.Args != nil || i.Reason != "" || i.Bound.Request.Body != "" || it.Decision.Digest != "" || len(it.Edits)+len(it.Notes) > 0 {
		a.t.Errorf("a refused item shows %+v", it)
	}
	return true
}

// hidden says that nobody can decide on it, and that lists have nothing of it but
// its place.
func (a *siege) hidden(d decision.Decision) {
	a.t.Helper()
	_, err := a.desk.Get(a.ctx, acme, d.ID)
	a.wantKind(err, fault.Denied)
	_, err = a.decide(d, decision.Approve, a.ann)
	a.wantKind(err, fault.Denied)
	items, err := a.desk.Queue(a.ctx, acme, decision.Filter{})
	a.must(err)
	told := false
	for _, it := range items {
		refused := a.refusedInList(it)
		if told = told || refused && it.Decision.ID == d.ID; it.Decision.State == decision.Open && !refused {
			a.t.Errorf("it is in the queue: %+v", it)
		}
	}
	if !told {
		a.t.Errorf("the queue does not say that it is refused: %+v", items)
	}
}

func revisionAltered(a *siege) {
	d := a.altered()
	a.strike(`UPDATE intent_revision SET args = replace(args, 'Siemens AG', 'Siemens Energy AG')`)
	a.hidden(d)
}

func revisionRemoved(a *siege) {
	d := a.altered()
	a.strike(`DELETE FROM intent_revision`)
	a.hidden(d)
}

func answerAltered(a *siege) {
	d := a.altered()
	a.strike(`UPDATE decision_note SET text = 'yes, pay' WHERE answers <> ''`)
	a.hidden(d)
}

func answerRemoved(a *siege) {
	d := a.altered()
	a.strike(`DELETE FROM decision_note WHERE answers <> ''`)
	a.hidden(d)
}

func headRemoved(a *siege) {
	a.keep("account", "name = 'ann'")
	a.must(a.Dir.Disable(a.ctx, Admin(acme), acme, a.ann.Account.ID, true, a.Now))
	if n := a.Write(`DELETE FROM row_head`); n == 0 {
		a.t.Fatal("there is nothing to remove")
	}
	a.putBack("account", "name = 'ann'")
	a.refused(a.account(a.ann.Account.ID), "account", a.ann.Account.ID)
	a.unharmed()
}
