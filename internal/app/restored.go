package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// Ended is what a restore has ended, since what became of it after the backup is
// not known.
type Ended struct {
	Writes   int `json:"writes"` // need a person
	Reads    int `json:"reads"`
	Runs     int `json:"runs"`
	Sessions int `json:"sessions"`
}

const restoreActor = "system:restore"

// bring opens the unpacked database as a server would, which migrates it, and
// unseals its vault. For a restore it also ends what was open, unless rows are
// refused that nobody has agreed to.
func (c RestoreConfig) bring(ctx context.Context, b *vault.Backup, dir string, rep *RestoreReport) (err error) {
	v, err := vault.New(vault.Config{Tenant: b.Header.Tenant, Now: c.Now, Log: slog.New(c.LogHandler)})
	if err != nil {
		return err
	}
	seq, err := audit.NewSequencer("", v.AuditKey)
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, dir, seq, sqlite.Guard{Keys: v, Now: c.Now, Log: slog.New(scrub.Handler(c.LogHandler, v.Holder(), unknown.String))})
	if err != nil {
		return err
	}
	defer func() {
		v.Seal()
		err = errors.Join(err, store.Close())
	}()
	if err := v.Unseal(ctx, store, c.Seals...); err != nil {
		return err
	}
	if err := store.VerifyRows(ctx); err != nil {
		return err
	}
	if ring, err := v.Ring(); err != nil || ring.Root.Vault != b.Header.Vault {
		return errors.Join(err, fault.New(fault.Denied, "the database is of another vault than the backup's header says"))
	}
	count, err := v.Count()
	if err != nil {
		return err
	}
	rep.Secrets = &count
	rep.Rows = store.RefusedRows()
	if c.Dir == "" || len(rep.Rows) > 0 && !c.Refused {
		return nil
	}
	rep.Ended, err = endOpen(ctx, store, b.Header, c.Now())
	return err
}

// endOpen ends what was open. A write that waited, was approved, or was under way
// may have been done after the backup was made, and a Run that goes on from an old
// transcript would propose it again: so no Run goes on, and each such write needs
// a person who looks into the system.
func endOpen(ctx context.Context, s *sqlite.Store, h vault.BackupHeader, at time.Time) (*Ended, error) {
	open, err := s.OpenIntents(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := s.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	r, ended := sqlite.Restored{At: at}, Ended{Runs: len(runs)}
	for _, l := range open {
		if l.Intent.Effect == resource.Read {
			ended.Reads++
		} else {
			ended.Writes++
		}
		r.Steps = append(r.Steps, endIntent(l, at))
	}
	for _, run := range runs {
		r.Runs = append(r.Runs, endRestoredRun(run, at))
	}
	for _, cp := range h.Checkpoints {
		r.Events = append(r.Events, audit.Event{Type: audit.BackupRestored, Tenant: cp.Tenant, At: at, Actor: restoreActor,
			Fields: map[string]any{"name": h.ID, "count": len(open), "why": "made at " + h.CreatedAt.Format(time.RFC3339) + "; what came after it is gone"}})
	}
	if ended.Sessions, err = s.Restored(ctx, r); err != nil {
		return nil, err
	}
	return &ended, nil
}

// endIntent closes an open Intent.
func endIntent(l commit.Left, at time.Time) commit.Step {
	it := l.Intent
	to, why := closedAs(it), "a backup was restored: what became of it since the backup was made is not known"
	res := intent.Result{State: to, Note: "A backup was restored. Whether it was applied is not known; a person has to find out. Do not repeat it."}
	if to != intent.NeedsHuman {
		why, res.Note = "a backup was restored before it was done", "A backup was restored before it was done."
	}
	return commit.Step{
		Tenant: it.Tenant, Intent: it.ID, Run: it.Run, From: it.State, To: to, Fence: l.Fence, Why: why, Result: &res, At: at,
		Events: []audit.Event{{Type: audit.IntentSwept, Tenant: it.Tenant, At: at, Actor: restoreActor, Run: it.Run, Mission: it.Mission, Intent: it.ID,
			Connection: it.Connection, Tool: it.Tool, Fields: map[string]any{"state": string(to), "digest": it.Digest, "fence": l.Fence, "why": why + "; it was " + string(it.State)}}},
		Observe: []explain.Observation{{Tenant: it.Tenant, Run: it.Run, At: at, Kind: explain.ToolCall, Intent: it.ID,
			Title: fmt.Sprintf("%s/%s: %s", it.Connection, it.Tool, to), Text: res.Note}},
	}
}

// closedAs is how an open Intent ends: a write needs a person; a read that was not
// answered has changed nothing, and nobody waits for it.
func closedAs(it intent.Intent) intent.State {
	switch {
	case it.State == intent.Proposed:
		return intent.Denied // it was never decided on
	case it.Effect != resource.Read || it.State == intent.Unknown:
		return intent.NeedsHuman
	case it.State == intent.Parked, it.State == intent.Approved:
		return intent.Withdrawn
	}
	return intent.Failed
}

func endRestoredRun(r intent.Run, at time.Time) sqlite.EndedRun {
	const verdict, summary = "stopped", "A backup was restored while it was under way. What it did after the backup was made is not known; start it again if it is still wanted."
	return sqlite.EndedRun{Tenant: r.Tenant, ID: r.ID, Verdict: verdict, Summary: summary,
		Event: audit.Event{Type: audit.RunEnded, Tenant: r.Tenant, At: at, Actor: restoreActor, Run: r.ID, Mission: r.Mission,
			Fields: map[string]any{"verdict": verdict, "why": "a backup was restored", "turns": r.Used.Turns, "tokens": r.Used.InputTokens + r.Used.OutputTokens}},
		Observe: explain.Observation{Tenant: r.Tenant, Run: r.ID, At: at, Kind: explain.Verdict, Title: verdict, Text: summary}}
}

// checkLogs verifies each audit log of an unpacked database with the key and the
// checkpoint that the backup's header has of it, or with the checkpoint that was
// kept elsewhere. A log that ends elsewhere than the header says, or that one of
// the two does not have, is a finding too.
func checkLogs(ctx context.Context, dir string, h vault.BackupHeader, kept []byte) (rep audit.Report, err error) {
	src, err := sqlite.OpenAudit(ctx, dir)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	there, err := src.Tenants(ctx)
	if err != nil {
		return rep, err
	}
	var keptOf ident.Tenant
	if kept != nil {
		if keptOf, err = audit.CheckpointTenant(kept); err != nil {
			return rep, err
		}
		if !slices.Contains(there, keptOf) {
			there = append(there, keptOf)
		}
	}
	named := map[ident.Tenant]vault.BackupCheckpoint{}
	for _, cp := range h.Checkpoints {
		if named[cp.Tenant] = cp; !slices.Contains(there, cp.Tenant) {
			there = append(there, cp.Tenant)
		}
	}
	for _, t := range there {
		var opts audit.VerifyOptions
		if cp, ok := named[t]; ok {
			opts = audit.VerifyOptions{VerifierKey: cp.Verifier, KeptCheckpoint: []byte(cp.Note)}
		}
		if t == keptOf {
			opts.KeptCheckpoint = kept
		}
		l, err := verifyOne(ctx, src, t, opts)
		if err != nil {
			return rep, err
		}
		if l.Checkpoint != named[t].Note {
			l.Findings = append(l.Findings, audit.Finding{Tenant: t, Kind: audit.CheckpointBad, Index: -1, Detail: "the log does not end where the backup's header says"})
		}
		rep.Logs = append(rep.Logs, l)
	}
	return rep, nil
}

func verifyOne(ctx context.Context, src audit.Source, t ident.Tenant, opts audit.VerifyOptions) (audit.LogReport, error) {
	rep, err := audit.Verify(ctx, oneLog{src, t}, opts)
	if err != nil {
		return audit.LogReport{}, err
	}
	if len(rep.Logs) != 1 {
		return audit.LogReport{}, fault.New(fault.Internal, "one log was verified as several")
	}
	rep.Logs[0].Tenant = t
	return rep.Logs[0], nil
}

// oneLog is a source with the log of one tenant.
type oneLog struct {
	audit.Source
	tenant ident.Tenant
}

// Tenants is the one, where it has anything.
func (o oneLog) Tenants(ctx context.Context) ([]ident.Tenant, error) {
	all, err := o.Source.Tenants(ctx)
	if err != nil || !slices.Contains(all, o.tenant) {
		return nil, err
	}
	return []ident.Tenant{o.tenant}, nil
}
