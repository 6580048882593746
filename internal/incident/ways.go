package incident

import (
	"fmt"
	"slices"
)

// storedLater: a text that the Run has read or was given holds the value now, and
// was scrubbed with what was known then.
func storedLater(f Facts) (Hypothesis, bool) {
	h := Hypothesis{Code: "stored_later", Sure: Certain,
		Says: fmt.Sprintf("%s, or a version of it, was stored only after the text that has it was read: the Worker read it before Sallyport knew it as a secret.", f.Incident.Secret)}
	for _, id := range f.ResultsHave {
		h.Evidence = append(h.Evidence, Evidence{Says: "The answer to this action has it", Run: f.Incident.Run, Intent: id})
	}
	if first, last := stored(f.Secret); len(h.Evidence) > 0 && !first.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{Says: "The Secret was stored", At: first})
		if !last.Equal(first) {
			h.Evidence = append(h.Evidence, Evidence{Says: "Its latest version was stored", At: last})
		}
	}
	return h, len(h.Evidence) > 0
}

// inInput: the Run was started with it, when it was not known yet.
func inInput(f Facts) (Hypothesis, bool) {
	if !f.InputHas || f.Run == nil {
		return Hypothesis{}, false
	}
	h := Hypothesis{Code: "in_input", Sure: Certain, Says: "It came in with the Run's input: the form had it, before it was stored as a Secret. Who filled it in has it."}
	h.Evidence = []Evidence{{Says: fmt.Sprintf("The input of the Run, which %s (%s) started, has it", f.Run.StarterName, f.Run.Starter), At: f.Run.CreatedAt, Run: f.Run.ID}}
	return h, true
}

// inGoal: the Mission says it to every Worker.
func inGoal(f Facts) (Hypothesis, bool) {
	return Hypothesis{Code: "in_goal", Sure: Certain, Says: "It is in the Mission's goal, which every Worker of the Mission reads.",
		Evidence: []Evidence{{Says: "The goal of the Mission " + f.Incident.Mission + " has it"}}}, f.GoalHas
}

// calls narrows the Run's calls.
func (f Facts) calls(keep func(Call) bool) (out []Call) {
	for _, c := range f.Calls {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out
}

// has says whether the answer had the Secret, as far as it is on record: an
// outcome says how many were taken out, and which where it is known.
func (c Call) has(secret string) bool {
	return slices.Contains(c.Redacted, secret) || c.Redactions > 0 && len(c.Redacted) == 0 && c.Secret == secret
}

// returnedByOwn: the system that the Secret is for gave it back.
func returnedByOwn(f Facts) (Hypothesis, bool) {
	name := f.Incident.Secret
	calls := f.calls(func(c Call) bool { return c.Secret == name && c.has(name) })
	if len(calls) == 0 {
		return Hypothesis{}, false
	}
	var n int64
	for _, c := range calls {
		n += c.Redactions
	}
	return Hypothesis{Code: "returned", Sure: Likely, Says: fmt.Sprintf(
		"This Run used %s at %s, whose answers had a secret %s (taken out): the system gives it back, and the Worker may have it in a form that no scanner sees.",
		name, list(connections(calls)), times(n)), Evidence: evidence(calls)}, true
}

// returnedByOther: another system has it in its data.
func returnedByOther(f Facts) (Hypothesis, bool) {
	name := f.Incident.Secret
	calls := f.calls(func(c Call) bool { return c.Secret != name && slices.Contains(c.Redacted, name) })
	return Hypothesis{Code: "returned_elsewhere", Sure: Likely, Says: fmt.Sprintf(
		"Answers of %s had %s (taken out), though it is not their credential: somebody keeps it in that system, where the Worker may have it in a form that no scanner sees.",
		list(connections(calls)), name), Evidence: evidence(calls)}, len(calls) > 0
}

// onlyUsed: it was used, and no answer had it in a form that is known.
func onlyUsed(f Facts) (Hypothesis, bool) {
	name := f.Incident.Secret
	used := f.calls(func(c Call) bool { return c.Secret == name })
	if len(used) == 0 || slices.ContainsFunc(used, func(c Call) bool { return c.has(name) }) {
		return Hypothesis{}, false
	}
	return Hypothesis{Code: "used", Sure: Possible, Says: fmt.Sprintf(
		"This Run used %s at %s %s, and no answer had it in a form that is known: the system may have given it back encrypted, cut or spelled out.",
		name, list(connections(used)), times(len(used))), Evidence: evidence(used)}, true
}

// neverUsed: it did not come through this Run's own credential.
func neverUsed(f Facts) (Hypothesis, bool) {
	i := f.Incident
	if slices.ContainsFunc(f.Calls, func(c Call) bool { return c.Secret == i.Secret }) {
		return Hypothesis{}, false
	}
	h := Hypothesis{Code: "never_used", Sure: Likely}
	before := f.calls(func(c Call) bool { return c.Effect == "read" })
	switch {
	case i.Worker == "outside":
		h.Says = fmt.Sprintf("This Run never used %s: it came from outside Sallyport. The Worker runs on a host of its own, and has it from there (its environment, a file, another tool, a person)%s.", i.Secret, reads(", or from ", before))
	case len(before) == 0:
		h.Says = fmt.Sprintf("This Run never used %s and has read nothing before: it came in with the Run's input or goal, or the Worker has made it up or knows it from elsewhere.", i.Secret)
	default:
		h.Says = fmt.Sprintf("This Run never used %s: it came in with the Run's input or goal, with%s, or from outside.", i.Secret, reads(" ", before))
	}
	if f.Run != nil {
		h.Evidence = append(h.Evidence, Evidence{Says: fmt.Sprintf("The Run was started by %s (%s) by way of %s", f.Run.StarterName, f.Run.Starter, f.Run.Via), At: f.Run.CreatedAt, Run: f.Run.ID})
	}
	slices.Reverse(before)
	h.Evidence = append(h.Evidence, evidence(before)...)
	return h, true
}

// reads says what the Worker has read before, or nothing.
func reads(join string, before []Call) string {
	switch len(before) {
	case 0:
		return ""
	case 1:
		return join + "what the one read before returned"
	}
	return fmt.Sprintf("%swhat the %d reads before returned", join, len(before))
}

// metAgain: the count went on after the value had changed.
func metAgain(f Facts) (Hypothesis, bool) {
	_, last := stored(f.Secret)
	i := f.Incident
	if i.Count < 2 || !last.After(i.At) || !i.LastAt.After(last) {
		return Hypothesis{}, false
	}
	return Hypothesis{Code: "after_rotation", Sure: Possible, Says: "It was met again after a new version was stored: that is the old value, which is looked for as long as it is kept, or the new one has got out the same way.",
		Evidence: []Evidence{{Says: "The latest version was stored", At: last}, {Says: fmt.Sprintf("It was met %s, the last time", times(i.Count)), At: i.LastAt, Run: i.Run}}}, true
}

// several: more than one Secret was in the same place.
func several(f Facts) (Hypothesis, bool) {
	i := f.Incident
	return Hypothesis{Code: "several", Sure: Possible, Says: fmt.Sprintf("Several Secrets were met in the same place (%s): they have one value, or a long part of one, in common, or stand together in a text such as a configuration file.",
		list(append([]string{i.Secret}, i.Also...)))}, len(i.Also) > 0
}

// probing: a Worker that tries what it may know.
func probing(f Facts) (Hypothesis, bool) {
	h := Hypothesis{Code: "probing", Sure: Possible, Says: "The Run has sent known secrets more than once: its Worker may be trying what it knows, or may have been told to by what it read."}
	for _, o := range f.Others {
		if o.Kind.Counts() {
			h.Evidence = append(h.Evidence, Evidence{Says: fmt.Sprintf("The incident %s: %s was met %s", o.ID, o.Secret, times(o.Count)), At: o.LastAt, Run: o.Run})
		}
	}
	return h, len(h.Evidence) > 0 || f.Incident.Count > 1
}

// afterApproval: nobody knew it as a secret when the action was proposed.
func afterApproval(f Facts) (Hypothesis, bool) {
	i := f.Incident
	_, last := stored(f.Secret)
	if f.ProposedAt.IsZero() || !last.After(f.ProposedAt) || last.After(i.At) {
		return Hypothesis{}, false
	}
	return Hypothesis{Code: "after_proposal", Sure: Likely, Says: fmt.Sprintf("%s was stored while the action waited: what the Worker had proposed was no known secret then.", i.Secret),
		Evidence: []Evidence{
			{Says: "The action was proposed", At: f.ProposedAt, Run: i.Run, Intent: i.Intent},
			{Says: "Its latest version was stored", At: last},
			{Says: "The action was stopped at the door", At: i.At, Run: i.Run, Intent: i.Intent},
		}}, true
}

// inPieces: the request put together what the arguments had apart.
func inPieces(f Facts) (Hypothesis, bool) {
	i := f.Incident
	if _, later := afterApproval(f); later {
		return Hypothesis{}, false
	}
	return Hypothesis{Code: "in_pieces", Sure: Likely, Says: "No argument alone had it, and the rendered request did: the arguments had it in pieces, or the Integration's own document has a part of it.",
		Evidence: []Evidence{{Says: "The action that was stopped at the door", At: i.At, Run: i.Run, Intent: i.Intent}}}, true
}

// typedByOwner: who stored it has it by right, and pastes it where it does not
// belong.
func typedByOwner(f Facts) (Hypothesis, bool) {
	h := Hypothesis{Code: "typed_by_owner", Sure: Likely, Says: "The person who stored the Secret typed it into a form: they have it from where it was issued, and put it where a model would have read it."}
	if f.Secret == nil {
		return h, false
	}
	for _, v := range f.Secret.Versions {
		if v.CreatedBy == f.Incident.Actor {
			h.Evidence = append(h.Evidence, Evidence{Says: fmt.Sprintf("Version %d was stored by them", v.Version), At: v.CreatedAt})
		}
	}
	return h, len(h.Evidence) > 0
}

// typedByUser: somebody has a credential that only the vault should have.
func typedByUser(f Facts) (Hypothesis, bool) {
	if _, owner := typedByOwner(f); owner {
		return Hypothesis{}, false
	}
	first, _ := stored(f.Secret)
	h := Hypothesis{Code: "typed", Sure: Likely, Says: fmt.Sprintf("Somebody who did not store %s typed it into a form: they had it before it was stored, or somebody gave it to them. Ask them where it is kept, besides in Sallyport.", f.Incident.Secret)}
	h.Evidence = []Evidence{{Says: fmt.Sprintf("%s typed it %s", f.Incident.Actor, times(f.Incident.Count)), At: f.Incident.LastAt}}
	if !first.IsZero() {
		h.Evidence = append(h.Evidence, Evidence{Says: "The Secret was stored", At: first})
	}
	return h, true
}

// systemMints: an answer had something of a secret's form.
func systemMints(f Facts) (Hypothesis, bool) {
	i := f.Incident
	return Hypothesis{Code: "minted", Sure: Likely, Says: fmt.Sprintf("The answer of %s had what looks like a secret (%s): the system has made it for this call, or keeps it in its data. It was masked before anybody saw it.", i.Connection, i.Rule),
		Evidence: []Evidence{{Says: "The action whose answer had it", At: i.At, Run: i.Run, Intent: i.Intent}}}, true
}

// handedIn: a person was stopped, and chose to store what they had typed.
func handedIn(f Facts) (Hypothesis, bool) {
	i := f.Incident
	return Hypothesis{Code: "handed_in", Sure: Certain, Says: fmt.Sprintf("A person typed what looks like a secret (%s), was stopped, and handed it in to be stored.", i.Rule),
		Evidence: []Evidence{{Says: i.Actor + " handed it in", At: i.At}}}, true
}

// wordOfPage: the value is an ordinary word of the page, or somebody put it there.
func wordOfPage(f Facts) (Hypothesis, bool) {
	i := f.Incident
	return Hypothesis{Code: "word_of_page", Sure: Possible, Says: fmt.Sprintf("The value of %s stands in the action that a person would decide on: it is an ordinary word of such pages, or somebody put it there to keep the page from being read.", i.Secret),
		Evidence: []Evidence{{Says: "The action that can't be shown", At: i.At, Run: i.Run, Intent: i.Intent}}}, true
}

// connections are those of calls, each once, in order.
func connections(calls []Call) (out []string) {
	for _, c := range calls {
		if !slices.Contains(out, c.Connection) {
			out = append(out, c.Connection)
		}
	}
	return out
}

// evidence is one line for each call.
func evidence(calls []Call) (out []Evidence) {
	for _, c := range calls {
		e := Evidence{Says: fmt.Sprintf("%s / %s", c.Connection, c.Tool), At: c.At, Run: c.Run, Intent: c.Intent, Audit: at(c.Claim)}
		if c.Redactions > 0 {
			e.Says += fmt.Sprintf(": its answer had a secret %s", times(c.Redactions))
			if len(c.Redacted) > 0 {
				e.Says += " (" + list(c.Redacted) + ")"
			}
		}
		out = append(out, e)
	}
	return out
}
