package smtpcred_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/mailtest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/smtpcred"
)

const password = "cnry-4d81Lm5YpT7d46-mail"

// known is what the tenant has.
func known(t testing.TB) *scrub.Set {
	t.Helper()
	s, err := scrub.Build([]scrub.Secret{{Name: "mail", Value: []byte(password)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// login signs in to a server, as change says.
func login(t testing.TB, m *mailtest.Server, change func(*smtpcred.Config)) (*smtpcred.Session, error) {
	t.Helper()
	at := net.JoinHostPort(m.Host, fmt.Sprint(m.Port))
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	set := known(t)
	c := smtpcred.Config{Conn: conn, Server: at, RootCAs: m.RootCAs, Hello: "example.com", Known: set, Latest: func() *scrub.Set { return set },
		Fields: map[string]plain.Value{"username": plain.New([]byte("notifier")), "password": plain.New([]byte(password))}}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return smtpcred.Login(ctx, c)
}

// refused checks an error: its kind, its words, and that it shows no credential.
func refused(t *testing.T, err error, kind fault.Kind, says string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(fmt.Sprint(err), says) {
		t.Errorf("got %v (%s), want %s: %s", err, fault.KindOf(err), kind, says)
	}
	if all := fmt.Sprintf("%v %+v %s", err, err, fault.HintOf(err)); len(known(t).Contains([]byte(all))) > 0 {
		t.Errorf("the error shows the credential: %s", all)
	}
}

var good = mailtest.Options{User: "notifier", Password: password}

func TestItSignsInOverTLSAndHandsAMessageOver(t *testing.T) {
	for name, c := range map[string]struct {
		o   mailtest.Options
		tls resource.MailTLS
	}{
		"starttls":        {good, resource.MailStartTLS},
		"unsaid":          {good, ""},
		"implicit":        {mailtest.Options{User: "notifier", Password: password, Implicit: true}, resource.MailImplicit},
		"login":           {mailtest.Options{User: "notifier", Password: password, Mechanism: "LOGIN XOAUTH2"}, resource.MailStartTLS},
		"this machine":    {mailtest.Options{User: "notifier", Password: password, NoTLS: true}, resource.MailPlain},
		"login, no TLS":   {mailtest.Options{User: "notifier", Password: password, NoTLS: true, Mechanism: "LOGIN"}, resource.MailPlain},
		"nobody signs in": {mailtest.Options{}, resource.MailStartTLS},
	} {
		t.Run(name, func(t *testing.T) {
			m := mailtest.Start(t, c.o)
			s, err := login(t, m, func(x *smtpcred.Config) {
				x.TLS = c.tls
				if c.o.User == "" {
					x.Fields = nil
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			left, err := s.Send(t.Context(), "a@example.com", []string{"b@example.com"}, []byte("Subject: x\r\n\r\n.one dot\r\n"))
			if err != nil || left != 0 {
				t.Fatal(left, err)
			}
			s.Close(t.Context())
			got := m.Mails()
			if len(got) != 1 || got[0].User != c.o.User || got[0].TLS == c.o.NoTLS || !strings.Contains(got[0].Data, "\n.one dot\n") {
				t.Errorf("arrived: %+v", got)
			}
			if !c.o.NoTLS && strings.Contains(m.Heard(), "AUTH") && c.o.User == "" {
				t.Error("somebody signed in")
			}
			if text := fmt.Sprintf("%v %+v %#v", s, s, s); len(known(t).Contains([]byte(text))) > 0 {
				t.Error("the session prints the credential")
			}
		})
	}
}

func TestTheCredentialIsNotSaidToAnybodyElse(t *testing.T) {
	other := func(*smtpcred.Config) {}
	for name, c := range map[string]struct {
		o      mailtest.Options
		change func(*smtpcred.Config)
		says   string
	}{
		"no STARTTLS offered":          {mailtest.Options{User: "notifier", Password: password, NoTLS: true}, other, "offers no STARTTLS"},
		"a certificate nobody signed":  {good, func(c *smtpcred.Config) { c.RootCAs = nil }, "certificate"},
		"a certificate of another":     {good, func(c *smtpcred.Config) { c.Server = "mail.elsewhere.example:587" }, "certificate"},
		"implicit, another's":          {mailtest.Options{User: "notifier", Password: password, Implicit: true}, func(c *smtpcred.Config) { c.TLS, c.RootCAs = resource.MailImplicit, nil }, "certificate"},
		"a mechanism that nobody asks": {mailtest.Options{User: "notifier", Password: password, Mechanism: "CRAM-MD5 XOAUTH2"}, other, "offers no sign-in"},
		"no TLS to another machine":    {mailtest.Options{User: "notifier", Password: password, NoTLS: true}, func(c *smtpcred.Config) { c.TLS, c.Conn = resource.MailPlain, far{c.Conn} }, "on this machine"},
		"an unknown way":               {good, func(c *smtpcred.Config) { c.TLS = "maybe" }, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mailtest.Start(t, c.o)
			_, err := login(t, m, c.change)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want: %s", err, c.says)
			}
			if strings.Contains(m.Heard(), "AUTH") {
				t.Errorf("the client began to sign in: %s", m.Heard())
			}
		})
	}
}

// far is a connection that ends on another machine.
type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

func TestWhatAServerSaysIsNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		o    mailtest.Options
		kind fault.Kind
		says string
	}{
		"it repeats the password":  {mailtest.Options{User: "somebody-else", Password: password}, fault.Denied, "refuses the sign-in (535)"},
		"no mail server":           {mailtest.Options{Greeting: "HTTP/1.1 400 " + password}, fault.Unavailable, "does not speak SMTP"},
		"busy":                     {mailtest.Options{Greeting: "421 " + password}, fault.Unavailable, "refuses for now (421)"},
		"it never stops talking":   {mailtest.Options{Greeting: "220-" + strings.Repeat("x", 600<<10)}, fault.Unavailable, "says more than the limit"},
		"it talks in many lines":   {mailtest.Options{Greeting: strings.Repeat("220-hello\r\n", 60<<10) + "220 x"}, fault.Unavailable, "says more than the limit"},
		"it wants a sign-in first": {mailtest.Options{Greeting: "530 " + password}, fault.Denied, "wants a sign-in"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := login(t, mailtest.Start(t, c.o), nil)
			refused(t, err, c.kind, c.says)
		})
	}
}

func TestAServerThatSaysNothingIsLeftInTime(t *testing.T) {
	m := mailtest.Start(t, mailtest.Options{Hang: true})
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(m.Host, fmt.Sprint(m.Port)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	set := known(t)
	_, err = smtpcred.Login(ctx, smtpcred.Config{Conn: conn, Server: "127.0.0.1:25", Known: set, Latest: func() *scrub.Set { return set }})
	refused(t, err, fault.Unavailable, "in time")
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open still: %v", err)
	}
}

func TestASecretThatDoesNotFitIsNotTried(t *testing.T) {
	for name, fields := range map[string]map[string]plain.Value{
		"no user":      {"password": plain.New([]byte(password))},
		"no password":  {"username": plain.New([]byte("notifier"))},
		"a line break": {"username": plain.New([]byte("notifier")), "password": plain.New([]byte(password + "\r\nRSET"))},
		"a zero byte":  {"username": plain.New([]byte("a\x00b")), "password": plain.New([]byte(password))},
	} {
		m := mailtest.Start(t, good)
		_, err := login(t, m, func(c *smtpcred.Config) { c.Fields = fields })
		if refused(t, err, fault.Invalid, "the secret"); strings.Contains(m.Heard(), "AUTH") {
			t.Errorf("%s: it was tried", name)
		}
	}
}

func TestTheUsernameOfTheChannelGoesWithATokenAlone(t *testing.T) {
	m := mailtest.Start(t, good)
	s, err := login(t, m, func(c *smtpcred.Config) {
		c.Username, c.Fields = "notifier", map[string]plain.Value{"token": plain.New([]byte(password))}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
}

func TestAMessageWithASecretStays(t *testing.T) {
	m := mailtest.Start(t, good)
	s, err := login(t, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	_, err = s.Send(t.Context(), "a@example.com", []string{"b@example.com"}, []byte("Subject: x\r\n\r\n"+password+"\r\n"))
	refused(t, err, fault.Denied, "carries a known secret")
	if len(m.Mails()) != 0 || strings.Contains(m.Heard(), "MAIL") {
		t.Error("it left")
	}
}

func TestWhoIsUnknownKeepsNobodyElseFromTheirMessage(t *testing.T) {
	o := good
	o.Refuse = []string{"gone@example.com"}
	m := mailtest.Start(t, o)
	s, err := login(t, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	left, err := s.Send(t.Context(), "a@example.com", []string{"gone@example.com", "b@example.com"}, []byte("x: y\r\n\r\n"))
	if err != nil || left != 1 || len(m.Mails()) != 1 {
		t.Errorf("%d were refused: %v", left, err)
	}
	_, err = s.Send(t.Context(), "a@example.com", []string{"gone@example.com"}, []byte("x: y\r\n\r\n"))
	refused(t, err, fault.Denied, "refuses the address (550)")
}

// An address that ends the command's line would be a command of its own.
func TestALineBreakInAnAddressIsNoCommand(t *testing.T) {
	m := mailtest.Start(t, good)
	s, err := login(t, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for _, bad := range []string{"b@example.com>\r\nRCPT TO:<evil@example.com", "b@example.com\nDATA"} {
		if _, err := s.Send(t.Context(), "a@example.com", []string{bad}, []byte("x: y\r\n\r\n")); err == nil {
			t.Errorf("%q was taken", bad)
		}
		if _, err := s.Send(t.Context(), bad, []string{"b@example.com"}, []byte("x: y\r\n\r\n")); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if strings.Contains(m.Heard(), "evil") {
		t.Error("a command was put in")
	}
}

// Whatever a server says, the client ends, and shows nothing of it.
func FuzzAServerMaySayAnything(f *testing.F) {
	f.Add("220 x\r\n250 ok\r\n")
	f.Add("220-a\r\n220 b\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n220 go\r\n\x16\x03\x01")
	f.Add("\x00\xff\r\n\r\n")
	f.Add("535 " + password + "\r\n")
	f.Fuzz(func(t *testing.T, says string) {
		client, server := net.Pipe()
		go func() {
			_ = server.SetDeadline(time.Now().Add(time.Second))
			go func() { _, _ = server.Write([]byte(says)); _ = server.Close() }()
			b := make([]byte, 1<<10)
			for {
				if _, err := server.Read(b); err != nil {
					return
				}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		set := known(t)
		_, err := smtpcred.Login(ctx, smtpcred.Config{Conn: client, Server: "mail.example.com:587", Known: set, Latest: func() *scrub.Set { return set }, Hello: "x",
			Fields: map[string]plain.Value{"username": plain.New([]byte("u")), "password": plain.New([]byte(password))}})
		if err == nil {
			t.Fatal("it signed in")
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok || len(set.Contains([]byte(err.Error()))) > 0 {
			t.Fatalf("%v", err)
		}
	})
}
