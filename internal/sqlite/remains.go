package sqlite

import (
	"encoding/base64"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/passkey"
)

// remains finds, of entries that are pruned, those without which the rest of the log
// can't be checked, or the rows not be compared with it:
//   - with which key the log begins, and every handover to another;
//   - where a clock was set back and accepted;
//   - what a resource, account, Team, passkey, stop or hold is like that there is;
//   - that a Run, an action or an incident is there that has not ended below the minimum;
//   - every entry of an action that goes on above it, so that a verdict there is judged
//     by all that was said before;
//   - every entry of the action for which a passkey that still counts was used last:
//     its authenticator counts on from there.
type remains struct {
	tenant  ident.Tenant
	facts   *facts
	minimum int64
	always  []int64
	calls   map[string][]int64 // the entries of each Intent
	enrols  map[string]int64   // where a passkey that still counts was enrolled, by its credential's hash
	used    map[string]string  // the Intent for which each was used last
}

func newRemains(tenant ident.Tenant, last audit.Pruned, minimum int64) *remains {
	r := &remains{tenant: tenant, facts: newFacts(), minimum: minimum, calls: map[string][]int64{}, enrols: map[string]int64{}, used: map[string]string{}}
	r.facts.minimum = last.Minimum
	return r
}

// add takes the next entry.
func (r *remains) add(e audit.Entry) {
	r.facts.add(r.tenant, e)
	if e.Intent != "" {
		r.calls[e.Intent] = append(r.calls[e.Intent], e.Index)
	}
	hash, _ := e.Fields["credentialHash"].(string)
	switch e.Type {
	case audit.LogOpened, audit.LogKeyRotated, audit.LogClockAccepted:
		r.always = append(r.always, e.Index)
	case audit.FactorEnrolled:
		r.enrols[hash] = e.Index
	case audit.FactorRemoved:
		delete(r.enrols, hash)
	default:
		credential, _ := e.Fields["credential"].(string)
		if b, err := base64.RawURLEncoding.DecodeString(credential); err == nil && credential != "" {
			r.used[passkey.Hash(b)] = e.Intent
		}
	}
}

// keep gives the indexes of those that stay.
func (r *remains) keep(t *Tx) (map[int64]bool, error) {
	out := map[int64]bool{}
	for _, i := range r.always {
		out[i] = true
	}
	f := r.facts
	for id := range f.prints {
		out[f.at[id]] = true
	}
	for run := range f.runs {
		out[f.at[rowID{r.tenant, tbRun, run}]] = true
	}
	for id := range f.incidents {
		out[f.at[rowID{r.tenant, tbIncident, id}]] = true
	}
	stay := map[string]bool{}
	for id := range f.intents {
		stay[id] = true
	}
	for hash, i := range r.enrols {
		out[i] = true
		stay[r.used[hash]] = true
	}
	for id, entries := range r.calls {
		if !stay[id] {
			goesOn, err := t.hasLater(r.tenant, id, r.minimum)
			if err != nil {
				return nil, err
			}
			if !goesOn {
				continue
			}
		}
		for _, i := range entries {
			out[i] = true
		}
	}
	return out, nil
}

// hasLater says whether an Intent has entries from an index on.
func (t *Tx) hasLater(tenant ident.Tenant, intent string, from int64) (bool, error) {
	var n int
	err := t.QueryRow("SELECT count(*) FROM (SELECT 1 FROM audit_entry WHERE tenant = $1 AND intent <> '' AND intent = $2 AND idx >= $3 LIMIT 1)", tenant, intent, from).Scan(&n)
	return n > 0, storeErr("looking for later entries", err)
}
