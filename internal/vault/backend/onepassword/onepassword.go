// Package onepassword is the items of a vault of 1Password, by a Connect server of your
// own and its REST API.
//
// It refuses an answer whose vault, id or title is not the one that was asked for, a
// title that two items have, and an item that was archived or deleted.
//
// # Security
//
// The token is read from its file at each use, and sent to the one server. The server
// says which item has a title and what is in it: that it is the right server is what
// TLS says, or that it is on this machine.
package onepassword

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// Config says which vault of which Connect server, and how to sign in.
type Config struct {
	Address   string `yaml:"address"`          // https://connect.example.com, or http on this machine
	CAFile    string `yaml:"caFile,omitempty"` // the system's certificates when empty
	Vault     string `yaml:"vault"`            // its id, of 26 characters
	TokenFile string `yaml:"tokenFile"`        // an access token of the Connect server
}

const (
	who   = "1Password Connect"
	whose = "the 1Password backend's"
	hint  = "the token has to be one of the Connect server's, with access to the vault; docs/bring-your-own-vault.md has the command"
)

var (
	id    = regexp.MustCompile(`^[a-z0-9]{26}$`)
	title = regexp.MustCompile(`^[A-Za-z0-9_+=.@:/-]+$`)
)

// connect is one vault.
type connect struct {
	cfg    Config
	server string
	http   *http.Client
}

// New checks the configuration. It asks nobody anything.
func New(c Config) (backend.Backend, error) {
	if !id.MatchString(c.Vault) || c.TokenFile == "" {
		return nil, fault.New(fault.Invalid, whose+" vault is not the id of one, or tokenFile is missing").WithHint("docs/bring-your-own-vault.md has an example")
	}
	server, plainHTTP, err := rest.Address(whose, c.Address)
	if err != nil {
		return nil, err
	}
	client, err := rest.Client(rest.Options{Whose: whose, CAFile: c.CAFile, Plain: plainHTTP, Keep: true})
	if err != nil {
		return nil, err
	}
	return &connect{c, server, client}, nil
}

// Ready looks at the token's file.
func (c *connect) Ready() error {
	return backend.Readable("the token for "+who, 64<<10, c.cfg.TokenFile)
}

// Enter asks about the vault, and of none of its items.
func (c *connect) Enter(ctx context.Context) (string, error) {
	raw, err := c.get(ctx, "")
	if err != nil {
		return "", err
	}
	defer clear(raw)
	m, err := object.Members(raw)
	if err != nil || object.Word(m["id"]) != c.cfg.Vault {
		return "", wrong("is not about the vault that was asked for")
	}
	return "the token is taken, and has the vault", nil
}

// Named says that an item has named fields.
func (*connect) Named() bool { return true }

// Check takes an item's id or its title.
func (*connect) Check(a backend.Ask) error {
	if !title.MatchString(a.Path) || a.Version != "" {
		return fault.New(fault.Invalid, "a path in 1Password is an item's id or its title, of plain characters, and its newest version alone can be had")
	}
	return nil
}

// Fetch reads one item: what has the form of an id is one, everything else a title.
func (c *connect) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	item := a.Path
	if !id.MatchString(item) {
		if item, err = c.find(ctx, a.Path); err != nil {
			return out, err
		}
	}
	raw, err := c.get(ctx, "/items/"+item)
	if err != nil {
		return out, err
	}
	defer clear(raw)
	plain.Do(func() { out, err = c.read(raw, item, a.Path) })
	return out, err
}

// get asks for something of the vault.
func (c *connect) get(ctx context.Context, below string) ([]byte, error) {
	token, err := safe.Credential(c.cfg.TokenFile)
	defer clear(token)
	if err != nil {
		return nil, backend.FailOf(backend.Refused, "the token for "+who+" can't be used", err)
	}
	got, err := rest.Do(ctx, c.http, who, rest.Request{Method: http.MethodGet, URL: c.server + "/v1/vaults/" + c.cfg.Vault + below,
		Header: http.Header{"Authorization": {"Bearer " + string(token)}, "Accept": {"application/json"}}})
	if err != nil {
		return nil, backend.FailOf(backend.Away, "", err)
	}
	if err := backend.Judge(who, got, hint); err != nil {
		clear(got.Body)
		return nil, err
	}
	return got.Body, nil
}

// find gives the id of the one item that has a title.
func (c *connect) find(ctx context.Context, title string) (string, error) {
	raw, err := c.get(ctx, "/items?"+url.Values{"filter": {`title eq "` + title + `"`}}.Encode()) // no title has a quote
	if err != nil {
		return "", err
	}
	defer clear(raw)
	return c.one(raw, title)
}

// one takes the list of items with a title apart. It has no fields of theirs.
func (c *connect) one(raw []byte, title string) (found string, err error) {
	list, err := object.Elements(raw)
	if err != nil {
		return "", wrong("is not the JSON that is expected")
	}
	for _, e := range list {
		m, err := c.ours(e)
		if err != nil || object.Word(m["title"]) != title || !id.MatchString(object.Word(m["id"])) {
			return "", wrong("is for another item than was asked for")
		}
		if gone(m) {
			continue
		}
		if found != "" {
			return "", backend.Fail(backend.Refused, "two items in "+who+" have this title").WithHint("name the item by its id, or give one another title")
		}
		found = object.Word(m["id"])
	}
	if found == "" {
		return "", backend.Fail(backend.Missing, who+" has no item with this title")
	}
	return found, nil
}

func wrong(msg string) *backend.Error { return backend.Fail(backend.Wrong, who+"'s answer "+msg) }

// ours gives an item's members, where it is of the vault.
func (c *connect) ours(raw []byte) (map[string][]byte, error) {
	m, err := object.Members(raw)
	if err != nil {
		return nil, err
	}
	v, err := object.Members(m["vault"])
	if err == nil && object.Word(v["id"]) != c.cfg.Vault {
		err = wrong("is of another vault")
	}
	return m, err
}

// gone reports whether an item was archived or deleted.
func gone(m map[string][]byte) bool {
	state, has := m["state"]
	return has && string(state) != "null" && object.Word(state) != "" && object.Word(state) != "ACTIVE"
}

// read takes an item's fields, where it is the item that was asked for.
func (c *connect) read(raw []byte, item, path string) (out backend.Answer, err error) {
	m, err := c.ours(raw)
	if err != nil || object.Word(m["id"]) != item || path != item && object.Word(m["title"]) != path {
		return out, wrong("is not the item that was asked for")
	}
	if gone(m) {
		return out, backend.Fail(backend.Missing, "the item in "+who+" was archived or deleted")
	}
	fields := [][]byte{}
	if raw, has := m["fields"]; has && string(raw) != "null" {
		if fields, err = object.Elements(raw); err != nil {
			return out, wrong("is not the JSON that is expected")
		}
	}
	if out.Fields, err = named(fields); err != nil {
		return backend.Answer{}, err
	}
	if n, ok := object.Number(m["version"]); ok && n > 0 {
		out.Version = strconv.FormatInt(n, 10)
	}
	return out, nil
}

// field is one that has a value.
type field struct {
	id, label string
	value     []byte
}

// named gives the fields that have a value by their labels. Labels are people's: one
// that two fields have, or that is another field's id, names none of them. Such a field
// goes by its id, so nobody gets one field for another.
func named(raw [][]byte) (map[string]plain.Value, error) {
	var all []field
	ids, labels, out := map[string]int{}, map[string]int{}, map[string]plain.Value{}
	for _, r := range raw {
		m, err := object.Members(r)
		if err != nil {
			return nil, wrong("is not the JSON that is expected")
		}
		f := field{id: object.Word(m["id"]), label: object.Word(m["label"])}
		if f.value, _ = object.Text(m["value"]); len(f.value) > 0 {
			all = append(all, f)
			ids[f.id]++
			labels[f.label]++
		}
	}
	for _, f := range all {
		name := f.id
		if f.label != "" && labels[f.label] == 1 && (ids[f.label] == 0 || f.label == f.id) {
			name = f.label
		}
		if name == "" || ids[f.id] > 1 {
			for _, f := range all {
				clear(f.value)
			}
			return nil, wrong("has two fields that nothing tells apart")
		}
		out[name] = plain.New(f.value)
	}
	return out, nil
}
