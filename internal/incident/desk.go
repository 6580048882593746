package incident

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// Filter narrows a list; empty fields don't.
type Filter struct {
	State  string // open or closed
	Kind   Kind
	Run    string
	Secret string // as the one that was met, or as another in the same place
	After  string // an incident's id: what follows it in the list
	Limit  int    // default 50, at most 200
}

// Closing is a person's word on an incident, to be stored with its entry.
type Closing struct {
	Tenant     ident.Tenant
	ID         string
	Quarantine string // set: every open incident about what it names is closed with this one
	By, Name   string // a principal, and what people call them
	Outcome    string
	Note       string
	At         time.Time
	Event      audit.Event // of this one; the others get one each
}

// Store keeps incidents.
type Store interface {
	// IncidentByID is NotFound when the tenant has none of that id.
	IncidentByID(ctx context.Context, t ident.Tenant, id string) (Incident, error)
	// Incidents lists a page, the newest first.
	Incidents(ctx context.Context, t ident.Tenant, f Filter) ([]Incident, error)
	// OpenIncidents is how many are open, also of those whose row is refused.
	OpenIncidents(ctx context.Context, t ident.Tenant) (int, error)
	// CloseIncident closes an open one, with its entry, in one transaction.
	// Conflict: it is closed.
	CloseIncident(ctx context.Context, c Closing) error
}

// Records is what else is on record about a Run.
type Records interface {
	Run(ctx context.Context, t ident.Tenant, id string) (intent.Run, error)
	Intents(ctx context.Context, t ident.Tenant, run string) ([]intent.Intent, error)
}

// Secrets is what is known of Secrets, without values.
type Secrets interface {
	Show(ctx context.Context, t ident.Tenant, name string) (vault.Secret, error)
	Scrub(t ident.Tenant) *scrub.Set
}

// Quarantine keeps what looks like a secret until a person has said what it is.
type Quarantine interface {
	// Promote makes it the field of the Secret w.Name: a new one, or a pending
	// version. It is not in quarantine any more.
	Promote(ctx context.Context, from, field string, w vault.Write) (vault.Secret, error)
	// Dismiss destroys it; the same value is let through from then on.
	Dismiss(ctx context.Context, t ident.Tenant, name string, actor ident.Principal) (vault.Secret, error)
}

// Config is what a Desk works with. All of it is needed but Name.
type Config struct {
	Store      Store
	Records    Records
	Audit      audit.Reader
	Secrets    Secrets
	Quarantine Quarantine
	// Goal is a Mission's goal in words, or "" where there is no such Mission.
	Goal func(t ident.Tenant, mission string) string
	// Name is what people call a principal, "kind:id", or "" where nobody knows. It may
	// be nil.
	Name func(ctx context.Context, t ident.Tenant, principal string) string
}

// Desk is the service. It is safe for concurrent use.
type Desk struct{ Config }

// NewDesk makes the service.
func NewDesk(c Config) (*Desk, error) {
	if c.Store == nil || c.Records == nil || c.Audit == nil || c.Secrets == nil || c.Quarantine == nil || c.Goal == nil {
		return nil, fault.New(fault.Internal, "opening the desk of incidents without all that it works with")
	}
	return &Desk{c}, nil
}

// Sees says whether somebody may see incidents: a name in one tells which Secret a
// guess was right about.
func Sees(who ident.Principal) bool { return who.Has(ident.Admin) || who.Has(ident.Auditor) }

var errNotSeen = fault.New(fault.Denied, "incidents are for admins and auditors")

// List gives a page, the newest first, and how many are open in all. Errors:
// Denied, Unavailable.
func (k *Desk) List(ctx context.Context, who ident.Principal, f Filter) (page []Incident, open int, err error) {
	if !Sees(who) {
		return nil, 0, errNotSeen
	}
	switch {
	case f.Limit <= 0:
		f.Limit = 50
	case f.Limit > 200:
		f.Limit = 200
	}
	if page, err = k.Store.Incidents(ctx, who.Tenant, f); err != nil {
		return nil, 0, err
	}
	for n, i := range page {
		page[n] = k.clean(i)
	}
	open, err = k.Store.OpenIncidents(ctx, who.Tenant)
	return page, open, err
}

// Open is how many are open; 0 for who may not see them.
func (k *Desk) Open(ctx context.Context, who ident.Principal) (int, error) {
	if !Sees(who) {
		return 0, nil
	}
	return k.Store.OpenIncidents(ctx, who.Tenant)
}

// Get is one without its story. Errors: Denied, NotFound, Unavailable.
func (k *Desk) Get(ctx context.Context, who ident.Principal, id string) (Incident, error) {
	if !Sees(who) {
		return Incident{}, errNotSeen
	}
	i, err := k.Store.IncidentByID(ctx, who.Tenant, id)
	if fault.Is(err, fault.NotFound) {
		return i, fault.New(fault.NotFound, "there is no such incident").WithHint("list them with: sallyport incident list")
	}
	return k.clean(i), err
}

// Shown is an incident with its story.
type Shown struct {
	Incident
	ActorName string `json:"actorName,omitempty"` // what people call its actor, where that is known
	Story     Story  `json:"story"`
}

// Show is one with its story. Errors as of Get.
func (k *Desk) Show(ctx context.Context, who ident.Principal, id string) (Shown, error) {
	i, err := k.Get(ctx, who, id)
	if err != nil {
		return Shown{}, err
	}
	f, err := k.facts(ctx, i)
	if err != nil {
		return Shown{}, err
	}
	return Shown{i, k.name(ctx, i.Tenant, i.Actor), Tell(f)}, nil
}

// name is what people call a principal, or "".
func (k *Desk) name(ctx context.Context, t ident.Tenant, principal string) string {
	if k.Name == nil {
		return ""
	}
	name, _ := k.Secrets.Scrub(t).String(k.Name(ctx, t, principal))
	return name
}

// clean scrubs what is not the product's own words, with the secrets of now: one
// may have been stored since.
func (k *Desk) clean(i Incident) Incident {
	set := k.Secrets.Scrub(i.Tenant)
	for _, s := range []*string{&i.Connection, &i.Tool, &i.Place, &i.Note, &i.NotKept, &i.ClosedName} {
		*s, _ = set.String(*s)
	}
	return i
}
