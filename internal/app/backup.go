package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// A backup may take this long, and as long as its bytes take at a slow pace: what
// is written meanwhile can't leave the write-ahead log before it has ended.
const (
	backupTime = 10 * time.Minute
	backupPace = 1 << 20 // bytes a second
)

// Backup writes a backup of the whole database to w, while the server goes on. It
// takes an admin of the server's tenant, with a password and a one-time code that
// are confirmed for this backup and nothing else. The audit log has it before the
// first byte is read, so the backup has that entry too. Nothing is written to w
// when an error comes before the first byte; what is written when one comes later
// is no whole backup, and is refused as one.
//
// Denied, Unauthenticated, Limit: as for a confirmation. Conflict: another backup
// is under way. Unavailable: the database can't be read or w not be written.
func (a *App) Backup(ctx context.Context, who ident.Principal, password, code, why string, w io.Writer) (err error) {
	if !who.Has(ident.Admin) || who.Tenant != a.cfg.Tenant {
		return fault.New(fault.Denied, "only an admin makes a backup")
	}
	if !a.backing.TryLock() {
		return fault.New(fault.Conflict, "another backup is under way").WithHint("wait until it has ended")
	}
	defer a.backing.Unlock()
	h := vault.NewBackup(a.now())
	h.Version = Version
	if err := a.recordBackup(ctx, h, who, password, code, why); err != nil {
		return err
	}
	snap, err := a.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, backupTime+time.Duration(snap.Size/backupPace)*time.Second)
	defer cancel()
	return a.writeBackup(ctx, h, snap, w)
}

// recordBackup uses the proof up with the entry of the audit log.
func (a *App) recordBackup(ctx context.Context, h vault.BackupHeader, who ident.Principal, password, code, why string) error {
	act, err := backupAct(h, who)
	if err != nil {
		return err
	}
	f, err := a.Directory.Confirm(ctx, who, password, code, act, a.now())
	if err != nil {
		return err
	}
	why, _ = a.Vault.Scrub(who.Tenant).String(why)
	return a.store.RecordBackup(ctx, f, audit.Event{Type: audit.BackupMade, Tenant: who.Tenant, At: a.now(), Actor: who.String(),
		Fields: map[string]any{"name": h.ID, "factor": f.ID, "why": audit.Short(why)}})
}

// backupAct is the digest of one person making one backup.
func backupAct(h vault.BackupHeader, who ident.Principal) (intent.Digest, error) {
	b, err := intent.Marshal(map[string]any{"tenant": who.Tenant, "account": who.ID, "backup": h.ID})
	if err != nil {
		return "", fault.Wrap(fault.Internal, "describing a backup", err)
	}
	sum := sha256.Sum256(append([]byte("sallyport backup v1\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:])), nil
}

func (a *App) writeBackup(ctx context.Context, h vault.BackupHeader, snap *sqlite.Snapshot, w io.Writer) error {
	h.Schema, h.Size, h.Ring = snap.Schema, snap.Size, snap.Ring
	for t, head := range snap.Heads {
		h.Checkpoints = append(h.Checkpoints, vault.BackupCheckpoint{Tenant: t, Verifier: head.Verifier, Note: string(head.Checkpoint)})
	}
	slices.SortFunc(h.Checkpoints, func(x, y vault.BackupCheckpoint) int { return strings.Compare(string(x.Tenant), string(y.Tenant)) })
	enc, err := a.Vault.SealBackup(h, w)
	if err != nil {
		return err
	}
	if err := snap.Copy(ctx, enc); err != nil {
		return err // not closed: without its last chunk it is no backup
	}
	return fault.Wrap(fault.Unavailable, "writing the backup", enc.Close())
}
