package incident

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/vault"
)

// MaxNote is the most bytes of a note.
const MaxNote = 500

// Word is what a person says when they close an incident themselves.
type Word struct {
	Outcome string `json:"outcome"` // rotated or explained
	Note    string `json:"note,omitempty"`
}

// Close closes an incident on an admin's word. Rotated is compared with what the
// vault has; explained takes a note. Errors: Denied, NotFound, Invalid, Conflict.
func (k *Desk) Close(ctx context.Context, who ident.Principal, id string, w Word, now time.Time) (Incident, error) {
	i, note, err := k.mayClose(ctx, who, id, w.Note)
	if err != nil {
		return Incident{}, err
	}
	switch w.Outcome {
	case Rotated:
		err = k.rotated(ctx, i)
	case Explained:
		if note == "" {
			err = fault.New(fault.Invalid, "an explanation is missing").WithHint("say in the note what happened: the next person reads it")
		}
	case Promoted, Dismissed:
		err = fault.Newf(fault.Invalid, "an incident is not closed as %s by itself", w.Outcome).
			WithHint("promote or dismiss what is in quarantine, and it is closed with that")
	default:
		err = fault.Newf(fault.Invalid, "the outcome %q is not known", fault.Quote(w.Outcome)).WithHint("it is rotated or explained")
	}
	if err != nil {
		return Incident{}, err
	}
	return k.close(ctx, who, i, w.Outcome, note, now)
}

// mayClose is the open incident, and the note as it is kept.
func (k *Desk) mayClose(ctx context.Context, who ident.Principal, id, note string) (Incident, string, error) {
	if !who.Has(ident.Admin) {
		return Incident{}, "", fault.New(fault.Denied, "an admin closes an incident")
	}
	i, err := k.Get(ctx, who, id)
	switch {
	case err != nil:
		return i, "", err
	case i.State != Open:
		return i, "", errClosed
	case len(note) > MaxNote:
		return i, "", fault.Newf(fault.Invalid, "the note is longer than %d bytes", MaxNote)
	case len(k.Secrets.Scrub(who.Tenant).Contains([]byte(note))) > 0:
		return i, "", fault.New(fault.Denied, "the note holds a known secret").WithHint("it is stored and shown: leave credentials out")
	}
	return i, audit.Short(unknown.String(note)), nil
}

var errClosed = fault.New(fault.Conflict, "the incident is closed already")

// rotated says why the Secrets that were met can't be called rotated yet: each
// takes an active version that is newer than the incident's beginning, or no value
// at all. The old value may well be met again after that, and counts on.
func (k *Desk) rotated(ctx context.Context, i Incident) error {
	if !i.Kind.Known() {
		return fault.New(fault.Invalid, "what was met is no Secret of ours, so it can't be rotated here").
			WithHint("promote it, or dismiss it; or close the incident as explained, and rotate it where it was issued")
	}
	for _, name := range append([]string{i.Secret}, i.Also...) {
		s, err := k.Secrets.Show(ctx, i.Tenant, name)
		if fault.Is(err, fault.NotFound) {
			continue // it was removed, and its name with it
		}
		switch {
		case err != nil:
			return err
		case s.Removed: // it has no value any more
		case s.Quarantined != nil:
			return fault.Newf(fault.Conflict, "%s is in quarantine, so nobody has said yet what it is", name).WithHint("promote or dismiss it")
		case !slices.ContainsFunc(s.Versions, func(v vault.Version) bool { return v.State == vault.Active && v.CreatedAt.After(i.At) }):
			return fault.Newf(fault.Conflict, "the active version of %s is not newer than the incident", name).
				WithHint("rotate it where it was issued, then: sallyport secret rotate %s", name)
		}
	}
	return nil
}

// close stores the closing.
func (k *Desk) close(ctx context.Context, who ident.Principal, i Incident, outcome, note string, now time.Time) (Incident, error) {
	c := Closing{Tenant: i.Tenant, ID: i.ID, By: who.String(), Name: who.Name, Outcome: outcome, Note: note, At: now,
		Event: audit.Event{Type: audit.IncidentClosed, Tenant: i.Tenant, At: now, Actor: who.String(), Run: i.Run, Mission: i.Mission,
			Fields: map[string]any{"incident": i.ID, "kind": i.Kind, "outcome": outcome, "why": note}}}
	if outcome == Promoted || outcome == Dismissed {
		c.Quarantine = i.Quarantine
	}
	if err := k.Store.CloseIncident(ctx, c); err != nil {
		return Incident{}, err
	}
	i.State, i.ClosedAt, i.ClosedBy, i.ClosedName, i.Outcome, i.Note = Closed, now, c.By, c.Name, outcome, note
	return i, nil
}

// Promotion says which Secret what is in quarantine becomes.
type Promotion struct {
	Name        string            `json:"name"`
	Field       string            `json:"field,omitempty"` // default "token"
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Scope says where it may be used; a new Secret's names at least one origin,
	// unless AnyOrigin is true.
	Scope     *vault.Scope `json:"scope,omitempty"`
	AnyOrigin bool         `json:"anyOrigin,omitempty"`
	Expires   time.Time    `json:"expires,omitzero"`
	Note      string       `json:"note,omitempty"`
}

// Promote makes what is in quarantine a Secret, or a version of one, and closes
// every open incident about it. Errors: Denied, NotFound, Invalid, Conflict.
func (k *Desk) Promote(ctx context.Context, who ident.Principal, id string, p Promotion, now time.Time) (Incident, vault.Secret, error) {
	i, note, err := k.quarantined(ctx, who, id, p.Note)
	if err != nil {
		return Incident{}, vault.Secret{}, err
	}
	if p.Field == "" {
		p.Field = "token"
	}
	s, err := k.Quarantine.Promote(ctx, i.Quarantine, p.Field, vault.Write{Tenant: who.Tenant, Name: p.Name, Description: p.Description,
		Owner: p.Owner, Labels: p.Labels, Scope: p.Scope, AnyOrigin: p.AnyOrigin, Expires: p.Expires, Actor: who})
	if err != nil {
		return Incident{}, vault.Secret{}, err
	}
	i, err = k.close(ctx, who, i, Promoted, note, now)
	return i, s, err
}

// Dismiss says that what is in quarantine is no secret, and closes every open
// incident about it. Errors as of Promote.
func (k *Desk) Dismiss(ctx context.Context, who ident.Principal, id, note string, now time.Time) (Incident, error) {
	i, note, err := k.quarantined(ctx, who, id, note)
	if err != nil {
		return Incident{}, err
	}
	if _, err := k.Quarantine.Dismiss(ctx, who.Tenant, i.Quarantine, who); err != nil {
		return Incident{}, err
	}
	return k.close(ctx, who, i, Dismissed, note, now)
}

// quarantined is an open incident with something in quarantine.
func (k *Desk) quarantined(ctx context.Context, who ident.Principal, id, note string) (Incident, string, error) {
	i, note, err := k.mayClose(ctx, who, id, note)
	if err == nil && i.Quarantine == "" {
		err = fault.New(fault.Conflict, "nothing is in quarantine for this incident").WithHint("close it with: sallyport incident close %s", i.ID)
	}
	return i, note, err
}
