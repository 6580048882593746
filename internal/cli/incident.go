package cli

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
)

func (p *program) incidentCmd() *cobra.Command {
	return noun("incident", "See where secrets were met that belong nowhere, and where the glass was broken, and work through it",
		p.incidentList(), p.incidentShow(), p.incidentClose(), p.incidentPromote(), p.incidentDismiss())
}

func (p *program) incidentList() *cobra.Command {
	var state, kind, run, secret, after string
	var limit int
	c := verb("list [--state STATE] [--kind KIND] [--run RUN] [--secret NAME] [--after INCIDENT] [--limit N]", "List incidents, the newest first", `  sallyport incident list
  sallyport incident list --state all --secret crm-token`, takes(0), func(cmd *cobra.Command, _ []string) error {
		asked := state
		if state == "all" {
			asked = ""
		}
		n := ""
		if limit > 0 {
			n = strconv.Itoa(limit)
		}
		var out api.Incidents
		raw, err := p.call(cmd.Context(), "GET", query("/v1/incidents", "state", asked, "kind", kind, "run", run, "secret", secret, "after", after, "limit", n), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.incidents(out, state == incident.Open && kind+run+secret+after == "" && limit == 0) })
	})
	c.Flags().StringVar(&state, "state", incident.Open, "open, closed, or all")
	c.Flags().StringVar(&kind, "kind", "", "sent, typed, carried, met, handed-in, altered or break_glass")
	c.Flags().StringVar(&run, "run", "", "of one Run")
	c.Flags().StringVar(&secret, "secret", "", "in which this Secret was met")
	c.Flags().StringVar(&after, "after", "", "go on after this incident, the last one of the page before")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many (default 50, at most 200)")
	return c
}

// incidents prints a page. whole says that it has to have every open one, or be
// full.
func (p *program) incidents(out api.Incidents, whole bool) {
	var rows [][]string
	for _, i := range out.Incidents {
		rows = append(rows, []string{i.ID, i.State, string(i.Kind), cmp.Or(i.Secret, i.Quarantine, i.Rule), i.Place, cmp.Or(i.Run, i.Actor), strconv.Itoa(i.Count), when(i.LastAt)})
	}
	p.table("no incident is like that", []string{"INCIDENT", "STATE", "KIND", "SECRET", "PLACE", "RUN OR PERSON", "COUNT", "LAST"}, rows)
	switch {
	case !whole || len(rows) == out.Open:
	case len(rows) == pageOfIncidents:
		p.say("%d are open in all; go on with: sallyport incident list --after %s", out.Open, out.Incidents[len(rows)-1].ID)
	case len(rows) < out.Open:
		p.warn(strconv.Itoa(out.Open-len(rows)) + " more are open and can't be shown: somebody without the vault's keys changed their rows; see: sallyport audit tail --type row.refused")
	}
}

// pageOfIncidents is how many a page has that asks for no other number.
const pageOfIncidents = 50

func (p *program) incidentShow() *cobra.Command {
	return verb("show INCIDENT", "Show an incident: what was met where, how it could get there, and what to do", "  sallyport incident show inc_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		var s incident.Shown
		raw, err := p.call(cmd.Context(), "GET", route("v1", "incidents", args[0]), nil, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.incident(s.Incident, s.ActorName); p.story(s.Kind, s.Story) })
	})
}

func (p *program) incident(i incident.Incident, actor string) {
	action := ""
	if i.Connection != "" {
		action = i.Connection + "/" + i.Tool
	}
	if actor != "" {
		actor += " (" + i.Actor + ")"
	}
	p.pairs("incident", i.ID, "state", i.State, "kind", string(i.Kind), "secret", i.Secret, "also met", strings.Join(i.Also, " "), "rule", i.Rule, "family", i.Family,
		"confidence", i.Confidence, "in quarantine as", i.Quarantine, "not kept", i.NotKept, "place", i.Place, "action", action, "run", i.Run, "mission", i.Mission,
		"worker", i.Worker, "actor", cmp.Or(actor, i.Actor), "first", when(i.At), "last", when(i.LastAt), "count", strconv.Itoa(i.Count),
		"closed", when(i.ClosedAt), "by", cmp.Or(i.ClosedName, i.ClosedBy), "outcome", i.Outcome, "note", i.Note)
}

// story prints what could have happened, then what to do.
func (p *program) story(kind incident.Kind, s incident.Story) {
	if kind == incident.BreakGlass {
		p.line("who did it, and why?")
	} else {
		p.line("how could it get there?")
	}
	for _, h := range s.Hypotheses {
		p.line("  %s: %s", h.Sure, h.Says)
		for _, e := range h.Evidence {
			p.line("    - %s", evidence(e))
		}
	}
	if len(s.Users) > 0 {
		p.line("who used it in the 30 days before")
		var rows [][]string
		for _, u := range s.Users {
			rows = append(rows, []string{u.Run, u.Mission, strings.Join(u.Connections, " "), strconv.Itoa(u.Count), when(u.LastAt)})
		}
		p.table("", []string{"RUN", "MISSION", "CONNECTIONS", "USES", "LAST"}, rows)
	}
	if s.Cut {
		p.say("the audit log goes further back than was looked")
	}
	p.line("what to do")
	for n, step := range s.Next {
		p.line("  %d. %s", n+1, step.Says)
		if step.Command != "" {
			p.line("     %s", step.Command)
		}
	}
}

func evidence(e incident.Evidence) string {
	parts := []string{e.Says}
	if !e.At.IsZero() {
		parts = append(parts, when(e.At))
	}
	if e.Intent != "" {
		parts = append(parts, e.Intent)
	}
	if e.Run != "" {
		parts = append(parts, e.Run)
	}
	if e.Audit != nil {
		parts = append(parts, "entry "+strconv.FormatInt(*e.Audit, 10))
	}
	return strings.Join(parts, ", ")
}

func (p *program) incidentClose() *cobra.Command {
	var w incident.Word
	c := verb("close INCIDENT --outcome rotated|explained [--note TEXT]", "Close an incident", `  sallyport incident close inc_abc --outcome rotated
  sallyport incident close inc_abc --outcome explained --note "the test account's own form"`, takes(1), func(cmd *cobra.Command, args []string) error {
		if w.Outcome == "" {
			return &usageError{"what came of it is missing", "give --outcome rotated, or --outcome explained with --note"}
		}
		var i incident.Incident
		raw, err := p.call(cmd.Context(), "POST", route("v1", "incidents", args[0], "close"), w, &i)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: closed as %s", i.ID, i.Outcome) })
	})
	c.Flags().StringVar(&w.Outcome, "outcome", "", "rotated: the Secret has a newer version; explained: it is known what happened")
	c.Flags().StringVar(&w.Note, "note", "", "one line, for whoever reads it later")
	return c
}

func (p *program) incidentPromote() *cobra.Command {
	var in incident.Promotion
	var scope scopeFlags
	var labels []string
	c := verb("promote INCIDENT --name NAME [--field FIELD] [--origin URL]... [--expires WHEN]", "Make what is in quarantine a Secret, or a pending version of one; nobody sees it",
		"  sallyport incident promote inc_abc --name crm-session --origin https://crm.example.com", takes(1), func(cmd *cobra.Command, args []string) (err error) {
			if ident.CheckName(in.Name) != nil {
				return &usageError{"the Secret's name is missing, or none: that has lower-case letters, digits and single hyphens, like crm-token", "give --name"}
			}
			if in.Labels, err = labelsOf(labels); err != nil {
				return err
			}
			in.Scope, in.AnyOrigin = scope.scope(), scope.anyOrigin
			if in.Expires, err = expiry(scope.expires, time.Now()); err != nil {
				return err
			}
			var out api.PromotedSecret
			raw, err := p.call(cmd.Context(), "POST", route("v1", "incidents", args[0], "promote"), in, &out)
			if err != nil {
				return err
			}
			return p.result(raw, func() {
				p.line("%s: closed as %s", out.Incident.ID, out.Incident.Outcome)
				p.stored(out.Secret)
			})
		})
	c.Flags().StringVar(&in.Name, "name", "", "the Secret that it becomes")
	c.Flags().StringVar(&in.Field, "field", "token", "the name of its field")
	c.Flags().StringVar(&in.Description, "description", "", "what it is for, for people")
	c.Flags().StringVar(&in.Owner, "owner", "", "whom to ask about it")
	c.Flags().StringVar(&in.Note, "note", "", "one line about the incident, for whoever reads it later")
	c.Flags().StringArrayVar(&labels, "label", nil, "a label, NAME=VALUE; give it again for several")
	scope.add(c)
	return c
}

func (p *program) incidentDismiss() *cobra.Command {
	var in api.Dismissal
	var yes bool
	c := verb("dismiss INCIDENT [--note TEXT] [--yes]", "Say that what is in quarantine is no secret: it is destroyed, and the same value is let through from now on",
		"  sallyport incident dismiss inc_abc --note \"a request id\"", takes(1), func(cmd *cobra.Command, args []string) error {
			if !yes {
				if !p.typing() {
					return &usageError{"the value would be let through from now on, and there is no terminal to ask on", "give --yes"}
				}
				p.say("this destroys what is in quarantine, and the same value is shown from now on, to models too")
				typed, err := p.ask(cmd.Context(), "the incident again, to confirm")
				if err != nil {
					return err
				}
				if typed != args[0] {
					return &usageError{"that is another one: nothing was done", ""}
				}
			}
			var i incident.Incident
			raw, err := p.call(cmd.Context(), "POST", route("v1", "incidents", args[0], "dismiss"), in, &i)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.line("%s: closed as %s", i.ID, i.Outcome) })
		})
	c.Flags().StringVar(&in.Note, "note", "", "one line, for whoever reads it later")
	c.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return c
}
