// Package mcpbridge is the way to the MCP door for clients that only start programs:
// it reads JSON-RPC messages from its input, one a line, sends each to the server's
// /mcp with a token that the client never has, and writes what comes back, one a line.
//
// It refuses a server that it would send the token to in clear text over a network, a
// redirect, and what is no message in either direction. Nothing but messages is
// written to its output.
//
// # Security
//
// The token goes to the named server only, in a header, and is in no message, error
// or log line of the bridge. A restart of the server, or a lost connection, is gone
// over: a message that can't have arrived is sent again, and so is one that may have,
// unless it asks for a second execution; the server finds the same action again.
package mcpbridge

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// Config is what a bridge is made of.
type Config struct {
	URL   string                 // of the door, like https://sallyport.example.com/mcp/onboarding
	Token func() (string, error) // read for each request: a file may be rotated
	In    io.Reader
	Out   io.Writer
	Say   func(msg string) // to people; never of the token
	// Patience is how long a server that can't be reached is tried again; Pause is
	// the first wait between, which doubles up to five seconds.
	Patience, Pause time.Duration
}

// Bounds.
const (
	maxLine = 4<<20 + 64<<10 // of a message from the client, in bytes
	maxBack = 32 << 20       // of a message from the server
	atOnce  = 64             // requests under way
)

// bridge is one that runs.
type bridge struct {
	Config
	client *http.Client

	out sync.Mutex // one line at a time

	mu      sync.Mutex
	session string          // of the older revisions; "" when there is none
	version string          // which it speaks
	hello   jsonrpc.Message // initialize, to begin another session with
	cancels map[jsonrpc.ID]context.CancelFunc

	renewing sync.Mutex // one at a time begins another session
}

// Run bridges until the input ends or ctx does.
func Run(ctx context.Context, c Config) error {
	if err := checkURL(c.URL); err != nil {
		return err
	}
	if _, err := c.Token(); err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: atOnce, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	b := &bridge{Config: c, cancels: map[jsonrpc.ID]context.CancelFunc{}, client: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	ctx, cancel := context.WithCancel(ctx)
	var wg crash.Group
	defer wg.Wait()
	defer cancel()
	if err := b.read(ctx, &wg); err != nil {
		return err
	}
	finished := make(chan struct{})
	crash.Go(func() {
		defer close(finished)
		wg.Wait()
	}, func(p *crash.Panic) { b.Say(p.Error()) })
	select {
	case <-finished:
	case <-time.After(drain): // what is held for a person is not waited for
	}
	return nil
}

// drain is how long answers are still passed on when the input has ended.
const drain = 5 * time.Second

// checkURL refuses to send a token where others read it.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fault.New(fault.Invalid, "the server's URL is not one").WithHint("name it like https://sallyport.example.com")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.New(fault.Denied, "the token would go over the network in clear text").WithHint("use https; http is for this machine only")
	}
	return nil
}

// read takes the client's messages.
func (b *bridge) read(ctx context.Context, wg *crash.Group) error {
	lines := bufio.NewScanner(b.In)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	slots := make(chan struct{}, atOnce)
	for lines.Scan() {
		line := append([]byte(nil), lines.Bytes()...) // the scanner's is used again
		if len(strings.TrimSpace(string(line))) == 0 {
			continue
		}
		m, err := jsonrpc.Decode(line, maxLine)
		if err != nil {
			b.write(jsonrpc.AppendError(nil, m.ID, jsonrpc.Error{Code: jsonrpc.CodeOf(err), Message: err.Error()}))
			continue
		}
		if !m.IsRequest() || m.Method == "initialize" { // in order
			b.one(ctx, m, line)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		own, cancel := context.WithCancel(ctx)
		b.mu.Lock()
		b.cancels[m.ID] = cancel
		b.mu.Unlock()
		wg.Go(func() {
			defer func() {
				b.mu.Lock()
				delete(b.cancels, m.ID)
				b.mu.Unlock()
				cancel()
				<-slots
			}()
			b.one(own, m, line)
		})
	}
	if err := lines.Err(); err != nil {
		return fault.New(fault.Invalid, "a message of the client is too large, or can't be read")
	}
	return nil
}

// one sends a message, and answers for the server when there is no answer to be had.
func (b *bridge) one(ctx context.Context, m jsonrpc.Message, line []byte) {
	if m.Method == "notifications/cancelled" {
		if raw, ok := m.Params.Get("requestId"); ok {
			b.cancel(raw)
		}
	}
	if m.Method == "initialize" {
		b.mu.Lock()
		b.hello, b.session = m, ""
		b.mu.Unlock()
	}
	err := b.send(ctx, m, line)
	if err == nil || ctx.Err() != nil {
		return
	}
	b.Say(err.Error())
	if m.IsRequest() {
		b.write(jsonrpc.AppendError(nil, m.ID, jsonrpc.Error{Code: jsonrpc.CodeInternal, Message: err.Error() + "; what was proposed is kept: list_my_pending shows it"}))
	}
}

// cancel ends a request's wait: closing its stream is how the door is told.
func (b *bridge) cancel(raw []byte) {
	id, err := jsonrpc.ReadID(raw)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.cancels[id]; c != nil {
		c()
	}
}

// write puts one message on the output.
func (b *bridge) write(msg []byte) {
	b.out.Lock()
	defer b.out.Unlock()
	if _, err := b.Out.Write(append(msg, '\n')); err != nil {
		b.Say("the client takes no more messages")
	}
}
