package passkey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// client is the client data that is looked at (section 5.8.1).
type client struct {
	kind, challenge, origin string
	framed                  bool // the page was in somebody else's
}

// parseClient reads client data. A name that comes twice, in any of its members, is
// refused: two readers would not agree which of the two counts. Names that are not
// known are allowed, as the standard demands. Kind Invalid.
func parseClient(b []byte) (c client, err error) {
	bad := fault.New(fault.Invalid, "the passkey's client data can't be read")
	if len(b) > maxClientData || !utf8.Valid(b) {
		return c, bad
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return c, bad
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return client{}, bad
		}
		seen[name] = true
		var v json.RawMessage
		if err := d.Decode(&v); err != nil || c.take(name, v) != nil {
			return client{}, bad
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return client{}, bad
	}
	if _, err := d.Token(); err != io.EOF {
		return client{}, bad
	}
	return c, nil
}

func (c *client) take(name string, v json.RawMessage) error {
	switch name {
	case "type":
		return json.Unmarshal(v, &c.kind)
	case "challenge":
		return json.Unmarshal(v, &c.challenge)
	case "origin":
		return json.Unmarshal(v, &c.origin)
	case "crossOrigin":
		var crossed bool
		err := json.Unmarshal(v, &crossed)
		c.framed = c.framed || crossed
		return err
	case "topOrigin": // is there only when the page was framed
		c.framed = true
	}
	return nil
}

func checkClient(b []byte, kind string, challenge []byte, ours func(origin string) bool) error {
	c, err := parseClient(b)
	switch {
	case err != nil:
		return err
	case c.kind != kind:
		return refuse("it is of another ceremony")
	case len(challenge) == 0 || c.challenge != base64.RawURLEncoding.EncodeToString(challenge):
		return refuse("it answers another challenge")
	case !ours(c.origin):
		return refuse("it was given on another origin")
	case c.framed:
		return refuse("the page was in somebody else's frame")
	}
	return nil
}
