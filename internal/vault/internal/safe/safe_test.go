package safe_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/safe"
)

// info is what a file system says of a file.
type info struct {
	mode     fs.FileMode
	uid, gid uint32
}

func (info) Name() string            { return "secret-id" }
func (info) Size() int64             { return 9 }
func (i info) Mode() fs.FileMode     { return i.mode }
func (info) ModTime() time.Time      { return time.Time{} }
func (info) IsDir() bool             { return false }
func (i info) Sys() any              { return &syscall.Stat_t{Uid: i.uid, Gid: i.gid} }
func us(groups ...int) safe.User     { return safe.User{ID: 1000, Groups: groups} }
func denied(err error) bool          { return fault.Is(err, fault.Denied) && fault.HintOf(err) != "" }
func at(name string) string          { return filepath.Join("/etc/sallyport", name) }
func of(uid, gid uint32) info        { return info{0o600, uid, gid} }
func (i info) as(m fs.FileMode) info { i.mode = m; return i }

func TestACredentialIsOursOrRootsAndNobodyElseMayReadIt(t *testing.T) {
	for name, c := range map[string]struct {
		info info
		who  safe.User
		fine bool
	}{
		"ours":                                   {of(1000, 1000), us(1000), true},
		"root's, read by a group of ours":        {of(0, 2000).as(0o440), us(1000, 2000), true},
		"ours, read by our group":                {of(1000, 1000).as(0o640), us(1000), true},
		"root's, for a server of root's":         {of(0, 0).as(0o640), safe.User{Groups: []int{0}}, true},
		"another user's":                         {of(26, 26), us(1000), false},
		"another user's, for a server of root's": {of(26, 26), safe.User{Groups: []int{0}}, false},
		"another user's, read by our group":      {of(26, 1000).as(0o640), us(1000), false},
		"ours, read by a group that isn't":       {of(1000, 26).as(0o640), us(1000), false},
		"root's, read by another group":          {of(0, 26).as(0o640), safe.User{Groups: []int{0}}, false},
		"read by everybody":                      {of(1000, 1000).as(0o644), us(1000), false},
		"written by our group":                   {of(1000, 1000).as(0o660), us(1000), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := safe.Private(at("secret-id"), c.info, c.who)
			if c.fine && err != nil {
				t.Errorf("it is refused: %v", err)
			}
			if !c.fine && !denied(err) {
				t.Errorf("it is taken, or refused without saying what to do: %v", err)
			}
		})
	}
}

func TestACredentialOfAnotherUserIsNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "secret-id")
	for _, mode := range []fs.FileMode{0o600, 0o640} {
		_ = os.Remove(path) // the one before belongs to others
		if err := os.WriteFile(path, []byte("cnry-of-the-file"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if b, err := safe.Credential(path); err != nil || string(b) != "cnry-of-the-file" {
			t.Fatalf("with mode %04o our own is not read: %v", mode, err)
		}
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := safe.Credential(path); !denied(err) || !strings.Contains(err.Error(), path) {
			t.Errorf("with mode %04o: %v", mode, err)
		}
		if err := os.Chown(path, 0, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := safe.Credential(path); (mode == 0o640) != denied(err) {
			t.Errorf("with mode %04o and another group: %v", mode, err)
		}
	}
}

func TestAFileThatIsMissingIsNamedWhole(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	_, err := safe.Credential("secret-id")
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "secret-id") || !strings.Contains(fault.HintOf(err), dir) {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}
