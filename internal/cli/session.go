package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// sessions is the file that remembers where one is signed in.
type sessions struct {
	Current string             `json:"current,omitempty"` // the server of the last sign-in
	Servers map[string]session `json:"servers"`           // by URL
}

// session is a sign-in at one server.
type session struct {
	Token     string    `json:"token"`
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// configDir is where the file is kept.
func (p *program) configDir() (string, error) {
	if dir := p.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sallyport"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.New(fault.Unavailable, "there is no place for the session: neither XDG_CONFIG_HOME nor HOME is set")
	}
	return filepath.Join(dir, "sallyport"), nil
}

// sessions reads the file; without one there is no session. A file that others
// can read is refused: whoever reads the token is signed in.
func (p *program) sessions() (sessions, string, error) {
	s := sessions{Servers: map[string]session{}}
	dir, err := p.configDir()
	if err != nil {
		return s, "", err
	}
	path := filepath.Join(dir, "session.json")
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, path, nil
	}
	if err != nil {
		return s, path, fault.Newf(fault.Unavailable, "the file %s can't be read", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, path, fault.Newf(fault.Denied, "the file %s can be read by others", path).
			WithHint("sign out and in again after: chmod 600 %s", path)
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, path, fault.Newf(fault.Invalid, "the file %s can't be read", path).WithHint("remove it, and sign in again")
	}
	if s.Servers == nil {
		s.Servers = map[string]session{}
	}
	return s, path, nil
}

// write replaces the file, whole or not at all.
func (s sessions) write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fault.Wrap(fault.Internal, "encoding the session", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(fault.Unavailable, "storing the session", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".session-*") // its mode is 0600
	if err != nil {
		return fault.Wrap(fault.Unavailable, "storing the session", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it has a token
	}
	return fault.Wrap(fault.Unavailable, "storing the session", err)
}

// normal is a server's URL as it is a key of the file.
func normal(url string) string { return strings.TrimRight(url, "/") }
