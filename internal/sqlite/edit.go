package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Edit stores a changed Intent, and what it was; see gate.Edited. Of a change and an
// approval at the same time one finds the other done: an approved action is changed
// no more, and a vote on what it was finds its Decision void.
func (s *Store) Edit(ctx context.Context, e gate.Edited) error {
	return s.write(ctx, func(t *Tx) error {
		was, it := e.Was, e.Now
		x, err := t.reader().byKey(tbDecision, it.Tenant, was.Decision.ID)
		if err != nil {
			return err
		}
		if x.text("state") != string(decision.Open) || x.digest("digest") != was.Decision.Digest || x.number("expires_at") <= ms(e.At) {
			return decision.Refuse(decision.NotOpen)
		}
		row, err := t.intentAt(it.Tenant, it.ID, intent.Parked)
		if fault.Is(err, fault.Conflict) || err == nil && row.number("revision") != int64(was.Intent.Revision) {
			return decision.Refuse(decision.NotOpen)
		}
		if err != nil {
			return err
		}
		if _, err := t.insert(tbRevision, cols{"tenant": it.Tenant, "id": fmt.Sprintf("%s.%d", it.ID, was.Intent.Revision), "intent": it.ID, "revision": was.Intent.Revision,
			"digest": was.Intent.Digest, "args": string(was.Intent.Args), "edited_at": e.At, "edited_by": e.By.ID, "edited_by_name": e.By.Name, "reason": e.Reason}); err != nil {
			return err
		}
		body, err := encode(withoutResult(it))
		if err != nil {
			return err
		}
		if err := t.put(row, cols{"body": body, "edited_digest": intent.SHA256(it.Args), "revision": it.Revision, "updated_at": e.At}); err != nil {
			return err
		}
		if err := t.useUp(gate.Proposed{Intent: it, Uses: e.Uses}); err != nil {
			return err
		}
		if err := t.insertDecision(e.Decision); err != nil {
			return err
		}
		return t.follow(it.Tenant, it.Run, commit.Step{Events: []audit.Event{e.Event}, Observe: []explain.Observation{e.Observe}})
	})
}

// Revisions lists what an Intent was before each change, the oldest first. One that
// is refused refuses all: without it a page would show another difference.
func (s *Store) Revisions(ctx context.Context, tenant ident.Tenant, intentID string) (out []decision.Revision, err error) {
	err = s.read(ctx, func(r *reader) error {
		rows, err := r.all(tbRevision, "WHERE tenant = $1 AND intent = $2 ORDER BY revision", tenant, intentID)
		out = nil
		for _, x := range rows {
			out = append(out, decision.Revision{Number: int(x.number("revision")), Digest: x.digest("digest"), Args: json.RawMessage(x.text("args")),
				At: x.instant("edited_at"), By: x.text("edited_by"), ByName: x.text("edited_by_name"), Reason: x.text("reason")})
		}
		return err
	})
	return out, err
}

// Notes lists the questions and answers on an Intent, or on all of a Run, the oldest
// first.
func (s *Store) Notes(ctx context.Context, tenant ident.Tenant, run, intentID string) (out []decision.Note, err error) {
	err = s.read(ctx, func(r *reader) error {
		rows, err := r.all(tbNote, "WHERE tenant = $1 AND run = $2 AND ($3 = '' OR intent = $3) ORDER BY at, answers <> '', id", tenant, run, intentID)
		out = nil
		for _, x := range rows {
			out = append(out, noteOf(x))
		}
		return err
	})
	return out, err
}

func noteOf(x *row) decision.Note {
	return decision.Note{ID: x.text("id"), Decision: x.text("decision"), Intent: x.text("intent"), Run: x.text("run"), Answers: x.text("answers"),
		Account: x.text("account"), Name: x.text("name"), Text: x.text("text"), Salt: x.text("salt"), At: x.instant("at")}
}

// Tell stores a question or an answer; see decision.Telling.
func (s *Store) Tell(ctx context.Context, n decision.Telling) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbDecision, n.Tenant, n.Note.Decision)
		switch {
		case err != nil:
			return err
		case x.text("state") != string(decision.Open):
			return decision.Refuse(decision.NotOpen)
		case x.number("notes") >= decision.MaxNotes:
			return fault.Newf(fault.Limit, "there are %d questions and answers about this action already", decision.MaxNotes)
		}
		if err := t.answerable(n); err != nil {
			return err
		}
		q := n.Note
		if _, err := t.insert(tbNote, cols{"tenant": n.Tenant, "id": q.ID, "decision": q.Decision, "intent": q.Intent, "run": q.Run, "answers": q.Answers,
			"account": q.Account, "name": q.Name, "text": q.Text, "salt": q.Salt, "at": q.At}); err != nil {
			return err
		}
		x.add("notes", 1)
		if err := t.put(x, nil); err != nil {
			return err
		}
		return t.follow(n.Tenant, q.Run, commit.Step{Events: []audit.Event{n.Event}, Observe: []explain.Observation{{
			Tenant: n.Tenant, Run: q.Run, At: q.At, Kind: explain.Decision, Title: n.Title, Text: q.Text, Intent: q.Intent}}})
	})
}

// answerable says whether what is answered is an open question on the same Intent.
func (t *Tx) answerable(n decision.Telling) error {
	if n.Note.Answers == "" {
		return nil
	}
	q, err := t.reader().byKey(tbNote, n.Tenant, n.Note.Answers)
	if fault.Is(err, fault.NotFound) || err == nil && (q.text("intent") != n.Note.Intent || q.text("answers") != "") {
		return fault.New(fault.NotFound, "there is no such question about this action")
	}
	if err != nil {
		return err
	}
	if _, err = t.reader().one(tbNote, "WHERE tenant = $1 AND answers = $2", n.Tenant, n.Note.Answers); err == nil {
		return fault.New(fault.Conflict, "the question has an answer")
	} else if !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}
