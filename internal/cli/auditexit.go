package cli

import (
	"slices"

	"sallyport.dev/internal/audit"
)

// findingCodes are the exit codes of "audit verify" and "audit verify-receipt". As
// the others, they don't change; docs/audit.md has them.
var findingCodes = map[audit.FindingKind]int{
	audit.EntryMissing: 20, audit.EntryExtra: 21, audit.EntryAltered: 22, audit.EntryMalformed: 23, audit.EntryMisplaced: 24, audit.ColumnAltered: 25,
	audit.HashMissing: 26, audit.HashExtra: 27, audit.HashAltered: 28, audit.HeadMissing: 29, audit.LogMissing: 30,
	audit.KeyChanged: 31, audit.HandoverBad: 32, audit.CheckpointBad: 33, audit.CheckpointSize: 34, audit.RootMismatch: 35,
	audit.Truncated: 36, audit.Forked: 37, audit.KeptUnverifiable: 38, audit.ClockBack: 39, audit.WitnessesMissing: 40,
	audit.ReceiptMalformed: 41, audit.NotIncluded: 42, audit.AnchorMalformed: 43,
	audit.ProofMissing: 44, audit.ProofBad: 45, audit.ProofReplayed: 46, audit.ProofCounter: 47, audit.ProofEarly: 48, audit.KeyUnknown: 49, audit.KeyBad: 50, audit.IndexAltered: 51, audit.PrunedBad: 52,
}

// findingCode is the code of the finding that says most.
func findingCode(found []audit.Finding) int {
	for _, k := range audit.FindingKinds {
		if slices.ContainsFunc(found, func(f audit.Finding) bool { return f.Kind == k }) {
			return findingCodes[k]
		}
	}
	return exitAudit
}

// audited is the error that findings are, nil where there are none.
func audited(found []audit.Finding) error {
	if len(found) == 0 {
		return nil
	}
	return &auditError{len(found), findingCode(found)}
}
