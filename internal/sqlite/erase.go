package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// erased stands in the title of an Observation whose content is gone.
const erased = "erased"

// EraseBodies takes away what a Run's form, arguments, answers, transcript and rail
// said, with the salts: what is left are names, ids, states and digests that nobody
// can find the body of. The audit log stays as it is. The pages are overwritten, and
// leave the write-ahead log. Errors: NotFound; Conflict while the Run or an action of
// it goes on, or where a legal hold keeps it; ev.Fields gets the count of actions.
func (s *Store) EraseBodies(ctx context.Context, tenant ident.Tenant, run string, at time.Time, ev audit.Event) (n int64, err error) {
	err = s.write(ctx, func(t *Tx) error {
		n, err = t.eraseBodies(tenant, run, at, ev)
		return err
	})
	return n, err
}

func (t *Tx) eraseBodies(tenant ident.Tenant, run string, at time.Time, ev audit.Event) (int64, error) {
	x, err := t.reader().byKey(tbRun, tenant, run)
	if err != nil {
		return 0, err
	}
	if x.text("state") != string(intent.RunEnded) {
		return 0, fault.New(fault.Conflict, "the Run has not ended").WithHint("stop it first: sallyport run stop RUN")
	}
	if x.number("erased_at") != 0 {
		return 0, fault.New(fault.Conflict, "the Run's bodies are erased already")
	}
	hold, err := t.held(tenant, run, x.text("mission"))
	if err != nil {
		return 0, err
	}
	if hold != "" {
		return 0, fault.Newf(fault.Conflict, "a legal hold on %s keeps the Run's bodies", fault.Quote(hold)).WithHint("an admin lifts it: sallyport hold lift")
	}
	its, err := t.reader().all(tbIntent, "WHERE tenant = $1 AND run = $2", tenant, run)
	if err != nil {
		return 0, err
	}
	for _, it := range its {
		if err := t.eraseIntent(it); err != nil {
			return 0, err
		}
	}
	if err := t.put(x, cols{"input": "{}", "salt": "", "summary": "", "erased_at": at}); err != nil {
		return 0, err
	}
	if err := t.erasePapers(tenant, run); err != nil {
		return 0, err
	}
	*t.shred = true
	return int64(len(its)), t.auditWith(ev, cols{"count": int64(len(its))})
}

// eraseIntent leaves of an action who, what with, and what became of it.
func (t *Tx) eraseIntent(x *row) error {
	if x.state("state").Open() {
		return fault.Newf(fault.Conflict, "the action %s is still open", x.text("id")).WithHint("say what became of it: sallyport intent resolve")
	}
	var it intent.Intent
	if err := json.Unmarshal([]byte(x.text("body")), &it); err != nil {
		return fault.Wrap(fault.Internal, "reading the intent", err)
	}
	it.Args, it.Theirs, it.Reason, it.Salt, it.Edited, it.Key = nil, nil, "", "", "", ""
	b := &it.Bound
	b.Args, b.Reason, b.Salt, b.Again, b.Request = nil, "", "", "", intent.Request{Method: b.Request.Method}
	body, err := encode(it)
	if err != nil {
		return err
	}
	next := cols{"body": body, "why": "", "args_digest": "", "edited_digest": "", "key": nullText("")}
	if !x.null("result") {
		var res intent.Result
		if err := json.Unmarshal([]byte(x.text("result")), &res); err != nil {
			return fault.Wrap(fault.Internal, "reading the intent's result", err)
		}
		if next["result"], err = encode(intent.Result{State: res.State, Status: res.Status, Redactions: res.Redactions}); err != nil {
			return err
		}
	}
	if err := t.put(x, next); err != nil {
		return err
	}
	decisions, err := t.reader().all(tbDecision, "WHERE tenant = $1 AND intent = $2", x.tenant(), x.text("id"))
	if err != nil {
		return err
	}
	for _, d := range decisions { // where the arguments came from has pieces of them
		if err := t.put(d, cols{"origins": ""}); err != nil {
			return err
		}
	}
	revisions, err := t.reader().all(tbRevision, "WHERE tenant = $1 AND intent = $2", x.tenant(), x.text("id"))
	if err != nil {
		return err
	}
	for _, r := range revisions {
		if err := t.put(r, cols{"args": "{}", "reason": ""}); err != nil {
			return err
		}
	}
	return nil
}

// erasePapers takes away what was said about a Run, and by its Worker.
func (t *Tx) erasePapers(tenant ident.Tenant, run string) error {
	notes, err := t.reader().all(tbNote, "WHERE tenant = $1 AND run = $2", tenant, run)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if err := t.put(n, cols{"text": erased, "salt": ""}); err != nil {
			return err
		}
	}
	if _, err := t.Exec("DELETE FROM transcript WHERE tenant = $1 AND run = $2", tenant, run); err != nil {
		return err
	}
	_, err = t.Exec("UPDATE observation SET title = $1, text = '', data = '', detail = '' WHERE tenant = $2 AND run = $3", erased, tenant, run)
	return err
}

// Erasable lists Runs that ended before a time, after a point of such a list, and of
// which the bodies are still there, of one Mission or, without a name, of all: the
// ids, and when each ended.
func (s *Store) Erasable(ctx context.Context, tenant ident.Tenant, mission string, before, after time.Time, limit int) (ids []string, ended []time.Time, err error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT id, ended_at FROM run WHERE tenant = $1 AND state = 'ended' AND erased_at = 0 AND ended_at < $2 AND ended_at > $3
		AND ($5 = '' OR mission = $5) ORDER BY ended_at LIMIT $4`, tenant, ms(before), ms(after), limit, mission)
	if err != nil {
		return nil, nil, storeErr("listing Runs to erase", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return nil, nil, storeErr("listing Runs to erase", err)
		}
		ids, ended = append(ids, id), append(ended, fromMS(at))
	}
	return ids, ended, storeErr("listing Runs to erase", rows.Err())
}
