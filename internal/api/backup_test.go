package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// backuper writes what it is told and then errs.
type backuper struct {
	write string
	err   error
	got   []string
}

func (b *backuper) Backup(_ context.Context, who ident.Principal, password, code, why string, w io.Writer) error {
	b.got = []string{who.Name, password, code, why}
	if b.write != "" {
		if _, err := io.WriteString(w, b.write); err != nil {
			return err
		}
	}
	return b.err
}

// download asks a server whose backups b makes.
func (o *office) download(b api.Backuper, in api.BackupRequest, w io.Writer) (http.Header, error) {
	o.t.Helper()
	o.api.Backuper = b
	s := httptest.NewServer(o.api)
	defer s.Close()
	c, err := client.New(s.URL, client.Token(o.as("admin")))
	o.must(err)
	return c.Download(o.t.Context(), "POST", "/v1/backup", in, w)
}

func TestABackupIsStreamedWithItsDigestAtTheEnd(t *testing.T) {
	o := open(t, "admin")
	var out strings.Builder
	b := &backuper{write: strings.Repeat("0123456789", 50_000)}
	trailer, err := o.download(b, api.BackupRequest{Why: "because", Password: "p", Code: "123456"}, &out)
	o.must(err)
	sum := sha256.Sum256([]byte(b.write))
	if out.String() != b.write || trailer.Get(api.BackupDigest) != hex.EncodeToString(sum[:]) {
		t.Errorf("%d bytes, %v", out.Len(), trailer)
	}
	if strings.Join(b.got, ",") != "admin,p,123456,because" {
		t.Errorf("it was asked for by %v", b.got)
	}
}

func TestABackupThatFailsIsNeverTakenForAWholeOne(t *testing.T) {
	o := open(t, "admin")
	in := api.BackupRequest{Password: "p", Code: "123456"}
	var out strings.Builder
	// Before the first byte: a problem like any other.
	_, err := o.download(&backuper{err: fault.New(fault.Conflict, "another one is under way")}, in, &out)
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusConflict || out.Len() > 0 {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
	// After it: the answer is cut, also where everything that was written arrived.
	for _, n := range []int{1, 100_000} {
		out.Reset()
		trailer, err := o.download(&backuper{write: strings.Repeat("x", n), err: errors.New("the disk is gone")}, in, &out)
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || trailer.Get(api.BackupDigest) != "" {
			t.Errorf("after %d bytes: %v, %v", n, err, trailer)
		}
	}
	if !strings.Contains(o.log.String(), "a backup was not finished") {
		t.Error("the log does not have it")
	}
}

// A server bounds how long a request is read. A backup takes longer.
func TestABackupOutlastsTheTimeForReadingItsRequest(t *testing.T) {
	o := open(t, "admin")
	o.api.Backuper = slow(5 * readTimeout)
	s := httptest.NewUnstartedServer(o.api)
	s.Config.ReadTimeout = readTimeout
	s.Start()
	defer s.Close()
	c, err := client.New(s.URL, client.Token(o.as("admin")))
	o.must(err)
	var out strings.Builder
	if _, err := c.Download(t.Context(), "POST", "/v1/backup", api.BackupRequest{Password: "p", Code: "123456"}, &out); err != nil || out.String() != "first, last" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

const readTimeout = 100 * time.Millisecond

// slow is how long a backup takes.
type slow time.Duration

func (d slow) Backup(ctx context.Context, _ ident.Principal, _, _, _ string, w io.Writer) error {
	if _, err := io.WriteString(w, "first, "); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(d)):
	}
	_, err := io.WriteString(w, "last")
	return err
}

func TestASessionAloneMakesNoBackup(t *testing.T) {
	o := open(t, "admin")
	b := &backuper{write: "everything"}
	for _, in := range []api.BackupRequest{{}, {Password: "p"}, {Code: "123456"}} {
		var out strings.Builder
		_, err := o.download(b, in, &out)
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusBadRequest || out.Len() > 0 || b.got != nil {
			t.Errorf("%+v: %v", in, err)
		}
	}
	// The real one, with a wrong code, and with the right one.
	var out strings.Builder
	_, err := o.download(o.app, api.BackupRequest{Password: password("admin"), Code: "000000"}, &out)
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusUnauthorized || out.Len() > 0 {
		t.Error(err)
	}
	_, err = o.download(o.app, api.BackupRequest{Password: password("admin"), Code: o.code("admin")}, &out)
	o.must(err)
	head, err := vault.ReadBackup(strings.NewReader(out.String()))
	if err != nil || head.Length != int64(out.Len()) || head.Header.Tenant != tenant {
		t.Errorf("%v", err)
	}
	if strings.Contains(out.String(), canary) {
		t.Error("the Secret is in it")
	}
}
