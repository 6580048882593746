package outside

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// Syslog is an anchor: each line is one RFC 5424 message of facility 13 ("log
// audit"). It tells that the message left, not that somebody keeps it.
type Syslog struct {
	network, address string
	tls              *tls.Config
	host             string
}

// Networks are those that syslog can be reached by.
var Networks = []string{"tls", "tcp", "udp", "unixgram"}

// NewSyslog makes one. ca is a file with the certificates that a TLS server's chain
// ends in, or "" for those of the system. Invalid.
func NewSyslog(network, address, ca string) (*Syslog, error) {
	if !slices.Contains(Networks, network) || address == "" {
		return nil, fault.New(fault.Invalid, "that is not where syslog can be").WithHint("the network is one of %s, with an address like siem.example.com:6514", strings.Join(Networks, ", "))
	}
	s := &Syslog{network: network, address: address, host: "-"}
	if name, err := os.Hostname(); err == nil && name != "" && len(name) < 256 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == "" {
		s.host = name
	}
	if network != "tls" {
		if ca != "" {
			return nil, fault.New(fault.Invalid, "only syslog over tls has certificates")
		}
		return s, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "syslog's address has no port").WithHint("give it like siem.example.com:6514")
	}
	s.tls = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		s.tls.RootCAs = x509.NewCertPool()
		if err != nil || !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Invalid, "the file with syslog's certificates can't be read, or has none")
		}
	}
	return s, nil
}

// Kind and Name are how it is called in the status.
func (s *Syslog) Kind() string { return "syslog" }

// Name is its address.
func (s *Syslog) Name() string { return s.network + ":" + s.address }

// Put sends a line.
func (s *Syslog) Put(ctx context.Context, at time.Time, line []byte) error {
	return s.Lines(ctx, at, "audit-checkpoint", [][]byte{line})
}

// Lines sends one message for each line, all over one connection. Over TCP it then
// says that it has no more to say, and waits a moment for the other side to close:
// a reset in that time tells that they were not taken.
func (s *Syslog) Lines(ctx context.Context, at time.Time, id string, lines [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, visitFor)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return fault.New(fault.Unavailable, "syslog is out of reach")
	}
	defer func() { _ = conn.Close() }() // what was not sent, the write says
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	stream := s.network == "tls" || s.network == "tcp"
	for _, line := range lines {
		msg := s.message(at, id, line)
		if stream { // RFC 5425 and 6587: a length before each
			msg = append([]byte(strconv.Itoa(len(msg))+" "), msg...)
		}
		if _, err := conn.Write(msg); err != nil {
			return fault.New(fault.Unavailable, "syslog did not take the message")
		}
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && stream {
		_ = conn.SetReadDeadline(time.Now().Add(goodbye))
		if half.CloseWrite() != nil {
			return fault.New(fault.Unavailable, "syslog did not take the message")
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fault.New(fault.Unavailable, "syslog did not take the message")
		}
	}
	return nil
}

// goodbye is how long the other side has to close. Most do at once.
const goodbye = 2 * time.Second

func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.tls != nil {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.address)
	}
	return (&net.Dialer{}).DialContext(ctx, s.network, s.address)
}

// message is a line as RFC 5424 has it: facility 13, severity 5 (notice), no
// structured data.
func (s *Syslog) message(at time.Time, id string, line []byte) []byte {
	return fmt.Appendf(nil, "<%d>1 %s %s sallyport %d %s - %s",
		13*8+5, at.UTC().Format("2006-01-02T15:04:05.000Z"), s.host, os.Getpid(), id, bytes.TrimSuffix(line, []byte("\n")))
}
