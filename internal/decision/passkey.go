package decision

import (
	"slices"
	"strconv"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/intent"
)

// MethodPasskey is the method of a Factor of a passkey, see package identity.
const MethodPasskey = "passkey"

// Act is the digest of one person giving one verdict on this Decision: what
// their Factor has to be for. A Factor for a rejection approves nothing.
func (d Decision) Act(v Verdict, account string) intent.Digest {
	return intent.Act{Tenant: d.Tenant, Decision: d.ID, Intent: d.Intent, Revision: d.Revision, Digest: d.Digest, Needs: d.needs(),
		Expires: d.ExpiresAt, Verdict: string(v), Account: account}.Sum()
}

// needs names who has to approve, as an Act does: "TEAM:COUNT", by the Team's id.
func (d Decision) needs() (out []string) {
	for _, n := range d.Needs {
		out = append(out, n.TeamID+":"+strconv.Itoa(n.Count))
	}
	return out
}

// Counted are the votes that can count: those by passkey, where one is asked for.
// Who voted by password before that was asked for can vote again.
func (d Decision) Counted() []Vote {
	if !d.Passkey {
		return d.Votes
	}
	return slices.DeleteFunc(slices.Clone(d.Votes), func(v Vote) bool { return v.Verdict == Approve && v.Method != MethodPasskey })
}

// asking is a Decision with what the server asks for today, besides what was asked
// when it was made.
func (k *Desk) asking(d Decision) Decision {
	d.Passkey = d.Passkey || k.Passkeys && d.State == Open
	return d
}

// checkProof refuses a passkey's Factor without what it signed, which the audit log
// has to have.
func checkProof(f *Factor) error {
	if f.Method == MethodPasskey && f.Proof == nil {
		return Refuse(OtherFactor)
	}
	return nil
}

// addProof puts what a passkey signed into the entry of its verdict, where whoever
// verifies the log finds it; see package audit. The verdict's other fields are what
// the challenge is computed from again.
func addProof(fields map[string]any, f *Factor) {
	if f == nil {
		return
	}
	if p := f.Proof; p != nil {
		fields["credential"], fields["authenticator"], fields["client"] = audit.Octets(p.Credential), audit.Octets(p.AuthenticatorData), audit.Octets(p.ClientData)
		fields["signature"], fields["nonce"] = audit.Octets(p.Signature), audit.Octets(p.Nonce)
	}
}
