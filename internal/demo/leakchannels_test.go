package demo_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/mailtest"
	"sallyport.dev/internal/resource"
)

// channelDoor is one way out to people: a Channel whose receiver says what it was
// sent, and the credential, in every answer.
type channelDoor struct {
	name   string
	scheme resource.Scheme
}

// channelDoors are those of Channels. The mail servers behave in one way each.
var channelDoors = []channelDoor{
	{"leak-hook", resource.SchemeSignature},
	{"leak-chat", resource.SchemeAddress},
	{"leak-mail-answer", resource.SchemeLogin},
	{"leak-mail-greeting", resource.SchemeLogin},
	{"leak-mail-signin", resource.SchemeLogin},
	{"leak-mail-taken", resource.SchemeLogin},
}

// canary is what the door's Secret is made of: of a signing key both how it is
// written and its bytes.
func (d channelDoor) canary() leaktest.Canary {
	c := leaktest.Mint(d.name, "as it is used", "token")
	if d.scheme == resource.SchemeSignature {
		c.Parts = append(c.Parts, d.value("")[len("whsec_"):])
	}
	return c
}

// value is what is stored as the Secret of a receiver at an origin.
func (d channelDoor) value(origin string) string {
	core := leaktest.Mint(d.name, "as it is used", "token").Value
	switch d.scheme { //nolint:exhaustive // the table has three
	case resource.SchemeSignature:
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(core))
	case resource.SchemeAddress:
		return origin + "/services/T0/B0/" + core
	}
	return core
}

// receivers are those behind the Channels.
type receivers struct {
	origin string
	mails  map[string]*mailtest.Server // by Channel

	mu     sync.Mutex
	got    map[string]int // messages with the right credential, by Channel
	answer int            // counts, so that each carrier and encoding has its turn
}

// openChannels gives the tenant a Channel for each door, all of which tell of
// everything.
func (w *world) openChannels() *receivers {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.t.Cleanup(func() { _ = l.Close() })
	r := &receivers{origin: "http://" + l.Addr().String(), mails: map[string]*mailtest.Server{}, got: map[string]int{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	var all []resource.Resource
	for _, d := range channelDoors {
		c := &resource.Channel{Head: head(resource.KindChannel, d.name), Events: resource.Events, Tells: resource.TellsSummary}
		origin := r.origin
		switch d.scheme {
		case resource.SchemeSignature:
			c.Webhook = &resource.Webhook{URL: r.origin + "/" + d.name, Secret: d.name}
		case resource.SchemeAddress:
			c.Slack = &resource.Slack{Secret: d.name, Origin: r.origin}
		default:
			m := mailtest.Start(w.t, d.mailServer())
			r.mails[d.name] = m
			c.SMTP = &resource.SMTP{Host: m.Host, Port: m.Port, TLS: resource.MailPlain, From: "sallyport@example.com", To: []string{"finance@example.com"}, Username: "notifier", Secret: d.name}
			origin = fmt.Sprintf("smtp://%s:%d", m.Host, m.Port)
		}
		c.Network = resource.Network{AllowLoopbackHTTP: c.SMTP == nil}
		w.keep(d.name, map[string]string{"token": d.value(origin)}, origin)
		all = append(all, c)
	}
	w.apply(all...)
	return r
}

// mailServer is how the server behind a door behaves: each says the password, and
// how it was sent, at another step.
func (d channelDoor) mailServer() mailtest.Options {
	core := d.value("")
	said := core + " " + base64.StdEncoding.EncodeToString([]byte("\x00notifier\x00"+core)) + " " + leaktest.PerByte("%02x")(core)
	o := mailtest.Options{NoTLS: true, User: "notifier", Password: core}
	switch d.name {
	case "leak-mail-answer":
		o.Answer = "554 5.7.1 not with " + said
	case "leak-mail-greeting":
		o.Greeting = "421 4.3.2 busy with " + said
	case "leak-mail-signin":
		o.Password = "another" // its refusal repeats what it was given
	}
	return o
}

// serve takes one message, and answers with all that it was sent and with what it
// can work out, in the next way of saying it.
func (r *receivers) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(req.Body) // what was sent of it
	hook, chat := channelDoors[0], channelDoors[1]
	d := hook
	if strings.HasPrefix(req.URL.Path, "/services/") {
		d = chat
	}
	r.mu.Lock()
	if d == hook && hook.signed(req.Header, body) || d == chat && r.origin+req.URL.Path == chat.value(r.origin) {
		r.got[d.name]++
	}
	n := r.answer
	r.answer++
	r.mu.Unlock()
	carrier, encoding := leaktest.Carriers[n%len(leaktest.Carriers)], encodings[(n*5)%len(encodings)]
	said, _ := encoding.Encode(d.value(r.origin))
	if echo := fmt.Sprint(said, " ", req.URL, " ", req.Header.Get("Webhook-Signature"), " ", d.canary().Parts); carrier.Takes(echo) {
		said = echo
	}
	if !carrier.Takes(said) {
		said = leaktest.PerByte("%02x")(d.value(r.origin))
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	_, _ = io.WriteString(c, carrier.Answer(said, func(s string) (out []string) {
		for len(s) > 0 {
			k := min(1+rng.IntN(16), len(s))
			out, s = append(out, s[:k]), s[k:]
		}
		return out
	}))
}

// signed says whether a message was signed with the door's key.
func (d channelDoor) signed(h http.Header, body []byte) bool {
	key, _ := base64.StdEncoding.DecodeString(d.value("")[len("whsec_"):])
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body)
	return h.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// tellAll sends a test to each receiver until it has answered in every way, and
// reads how each Channel does. Each had its credential, and none of the messages
// of the Run that waits is forgotten.
func (w *world) tellAll(s *sinks, r *receivers) {
	w.t.Helper()
	w.as("builder")
	c := w.sniff(s, w.tokens["builder"])
	for _, d := range channelDoors {
		tries := 1
		if d.scheme != resource.SchemeLogin {
			tries = len(leaktest.Carriers)
		}
		refused := 0
		for range tries {
			if err := c.Call(w.t.Context(), "POST", "/v1/channels/"+d.name+"/test", nil, nil); err != nil {
				refused++
			}
		}
		if wanted := d.name != "leak-mail-taken"; (refused > 0) != wanted {
			w.t.Errorf("%s: %d of %d tests were refused", d.name, refused, tries)
		}
		w.must(c.Call(w.t.Context(), "GET", "/v1/channels/"+d.name, nil, nil))
		if m := r.mails[d.name]; m != nil {
			sent := base64.StdEncoding.EncodeToString([]byte("\x00notifier\x00" + d.value("")))
			if got := strings.Contains(m.Heard(), sent); got != (d.name != "leak-mail-greeting") {
				w.t.Errorf("%s got its password: %v", d.name, got)
			}
		} else if r.count(d.name) == 0 {
			w.t.Errorf("%s never got its credential", d.name)
		}
	}
	w.must(c.Call(w.t.Context(), "GET", "/v1/channels", nil, nil))
	if len(r.mails["leak-mail-taken"].Mails()) == 0 {
		w.t.Error("no mail was taken")
	}
}

func (r *receivers) count(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[name]
}
