package mcpbridge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// lost is a connection that ended before the answer. arrived says that the server may
// have the message.
type lost struct {
	arrived bool
	why     string
}

// Error says it without what was sent.
func (l *lost) Error() string { return l.why }

// errNoSession is a session that the server does not know: it was restarted.
var errNoSession = fault.New(fault.NotFound, "the server does not know the session any more")

// pauseMost is the longest wait between two tries.
const pauseMost = 5 * time.Second

// send sends a message until there is an answer or the bridge's patience ends.
func (b *bridge) send(ctx context.Context, m jsonrpc.Message, line []byte) error {
	began, pause := time.Now(), b.Pause
	for {
		used, err := b.post(ctx, m, line)
		var l *lost
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case errors.Is(err, errNoSession) && m.Method != "initialize":
			if err = b.renew(ctx, used); err == nil {
				continue
			}
		}
		if !errors.As(err, &l) || l.arrived && again(m) || time.Since(began) >= b.Patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMost)
	}
}

// again says whether a call asks on purpose for another execution: then it is sent
// once.
func again(m jsonrpc.Message) bool {
	args, _ := m.Params.Object("arguments")
	for _, name := range []string{"repeat", "sallyport_repeat"} {
		if v, _ := args.Bool(name); v {
			return true
		}
	}
	return false
}

// post sends a message once. used is the session that it was sent in.
func (b *bridge) post(ctx context.Context, m jsonrpc.Message, line []byte) (used string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL, bytes.NewReader(line))
	if err != nil {
		return "", fault.New(fault.Invalid, "the server's URL is not one")
	}
	token, err := b.Token()
	if err != nil {
		return "", err
	}
	h := req.Header
	h.Set("Authorization", "Bearer "+token)
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json, text/event-stream")
	used = b.head(h, m)
	resp, err := b.client.Do(req)
	if err != nil {
		op, is := errors.AsType[*net.OpError](err)
		return used, &lost{arrived: !is || op.Op != "dial", why: "the server can't be reached"}
	}
	defer resp.Body.Close() //nolint:errcheck // it is read only
	return used, b.answer(m, used, resp)
}

// head sets the headers that say what the body says.
func (b *bridge) head(h http.Header, m jsonrpc.Message) (session string) {
	meta, _ := m.Params.Object("_meta")
	if v, ok := meta.Text("io.modelcontextprotocol/protocolVersion"); ok {
		h.Set("Mcp-Protocol-Version", headerValue(v))
		h.Set("Mcp-Method", headerValue(m.Method))
		for _, field := range named[m.Method] {
			if s, ok := m.Params.Text(field); ok {
				h.Set("Mcp-Name", headerValue(s))
			}
		}
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Method != "initialize" && b.session != "" {
		h.Set("Mcp-Session-Id", b.session)
		h.Set("Mcp-Protocol-Version", b.version)
	}
	return b.session
}

// named are the methods that have an Mcp-Name, and from which of their params.
var named = map[string][]string{
	"tools/call": {"name"}, "prompts/get": {"name"}, "resources/read": {"uri"},
	"tasks/get": {"taskId"}, "tasks/update": {"taskId"}, "tasks/cancel": {"taskId"},
}

// headerValue encodes what would not come through a header as it is.
func headerValue(s string) string {
	plain := strings.TrimSpace(s) == s && !(strings.HasPrefix(s, "=?base64?") && strings.HasSuffix(s, "?="))
	for i := range len(s) {
		plain = plain && s[i] >= 0x20 && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// answer takes what came back.
func (b *bridge) answer(m jsonrpc.Message, used string, resp *http.Response) error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch code := resp.StatusCode; {
	case code == http.StatusAccepted:
		return nil
	case code == http.StatusUnauthorized:
		return fault.New(fault.Unauthenticated, "the server does not take the token").WithHint("it was revoked or has expired, or its Run has ended")
	case code == http.StatusNotFound && used != "":
		return errNoSession
	case code == http.StatusTooManyRequests || code >= 500: // a proxy's may be about what the server goes on with
		return &lost{arrived: code >= 500, why: "the server does not answer now (status " + strconv.Itoa(code) + ")"}
	case code >= 300 && code < 400:
		return fault.New(fault.Denied, "the server redirects, and the token goes to no other").WithHint("name the server by the URL that it redirects to")
	case media == "text/event-stream":
		return b.stream(m, resp.Body)
	case media != "application/json":
		return fault.Newf(fault.Unavailable, "what answers at this URL does not speak the protocol (status %d)", code)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBack+1))
	if err != nil {
		return &lost{arrived: true, why: "the connection to the server was lost"}
	}
	_, err = b.pass(m, body, resp.Header.Get("Mcp-Session-Id"))
	return err
}

// pass hands a message on, as one line. final says that it is the answer.
func (b *bridge) pass(m jsonrpc.Message, body []byte, session string) (final bool, err error) {
	back, err := jsonrpc.Decode(body, maxBack)
	if err != nil {
		return false, fault.New(fault.Unavailable, "what the server sent is no message")
	}
	if back.IsAnswer() && back.ID != m.ID {
		if back.Error == nil || !m.IsRequest() {
			return false, nil // an answer to nothing that was asked here
		}
		body = jsonrpc.AppendError(nil, m.ID, *back.Error) // about a request whose id was not read
	}
	if m.Method == "initialize" && back.Result != nil {
		b.begun(session, back.Result)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return false, fault.New(fault.Unavailable, "what the server sent is no message")
	}
	b.write(line.Bytes())
	return back.IsAnswer(), nil
}

// begun remembers the session that initialize gave.
func (b *bridge) begun(session string, result []byte) {
	o, err := jsonrpc.ReadObject(result)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = session
	b.version, _ = o.Text("protocolVersion")
}

// stream reads server-sent events until the answer.
func (b *bridge) stream(m jsonrpc.Message, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxBack)
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		if d, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(d, []byte(" "))...)
			if len(data) > maxBack {
				return fault.New(fault.Unavailable, "what the server sent is too large")
			}
			continue
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		final, err := b.pass(m, data, "")
		if err != nil || final {
			return err
		}
		data = nil
	}
	return &lost{arrived: true, why: "the connection to the server was lost"}
}

// renew begins another session with the client's own initialize, once for all whose
// session was used.
func (b *bridge) renew(ctx context.Context, used string) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	b.mu.Lock()
	hello, now := b.hello, b.session
	b.mu.Unlock()
	if now != used {
		return nil
	}
	if hello.Method == "" {
		return errNoSession
	}
	b.mu.Lock()
	b.session = ""
	b.mu.Unlock()
	quiet := &bridge{Config: b.Config, client: b.client}
	quiet.Out = io.Discard // the client has had its answer
	if _, err := quiet.post(ctx, hello, jsonrpc.AppendRequest(nil, hello.ID, hello.Method, hello.Raw)); err != nil {
		b.mu.Lock()
		b.session = used // the next one tries again
		b.mu.Unlock()
		return err
	}
	b.mu.Lock()
	b.session, b.version = quiet.session, quiet.version
	b.mu.Unlock()
	ready := jsonrpc.Message{Method: "notifications/initialized"}
	_, err := b.post(ctx, ready, jsonrpc.AppendRequest(nil, jsonrpc.ID{}, ready.Method, nil))
	return err
}
