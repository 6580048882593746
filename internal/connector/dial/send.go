package dial

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// UserAgent is how every request names its sender.
const UserAgent = "Sallyport/1"

// Call is how a request is to be sent.
type Call struct {
	Write   bool          // its effect
	Timeout time.Duration // of the whole exchange
	MaxBody int64         // bytes of the answer that are read; more is an error
	// Read takes the answer out of the body in place of reading all of it; nil: all
	// is read. It bounds what it reads, and its errors are fixed sentences or the
	// body's own.
	Read func(body io.Reader, mediaType string) error
}

// Reply is an HTTP answer, read in full. The door has scrubbed it.
type Reply struct {
	Status   int
	Type     string // media type, lower case, without parameters
	Location string // of a redirect: the host that it names, nothing else
	Header   http.Header
	Body     []byte // nil where Call.Read took it
	// RetryAfter is how long the system asks to be left alone; zero: it doesn't.
	RetryAfter time.Duration
	// Passing is as in [connector.Answer]. It is set beside an error too.
	Passing bool
}

// Send sends a rendered request through a door once and reads the answer. With
// a nil error the answer was read in full, whatever its status, and the
// Outcome is Done; else it is NotSent, or Unclear when bytes may have left.
// Errors are fixed sentences: nothing of the URL or the answer is in them.
func Send(ctx context.Context, door http.RoundTripper, r intent.Request, c Call) (Reply, connector.Outcome, error) {
	var asked, connected, answering atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },

		GotFirstResponseByte: func() { answering.Store(true) },
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	x := &exchange{write: c.Write}
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	req, err := request(httptrace.WithClientTrace(ctx, trace), r)
	if err != nil {
		return Reply{}, connector.NotSent, err
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		x.note(err)
		// What has begun to answer and went wrong then is not of the moment, nor is
		// a call whose time is over.
		broken := Reply{Passing: x.passing.Load() && !answering.Load() && ctx.Err() == nil}
		// A request byte needs a connection. Whether bytes left one that was
		// there is not asked: net/http may still be writing when it returns.
		if !connected.Load() && (asked.Load() || refusedBefore(err)) {
			return broken, connector.NotSent, explain(err, false)
		}
		return broken, connector.Unclear, explain(err, c.Write)
	}
	defer func() { _ = resp.Body.Close() }()
	reply := Reply{Status: resp.StatusCode, Header: resp.Header, Type: mediaType(resp.Header), Location: locationHost(resp)}
	reply.RetryAfter, _ = retryAfter(resp.Header)
	if resp.StatusCode < http.StatusOK {
		return reply, connector.Done, nil // 101: no answer to a request that asked for no other protocol
	}
	reply.Body, err = read(resp, c, reply.Type)
	if err != nil {
		return reply, connector.Unclear, err
	}
	reply.Passing = asksAgain(resp)
	return reply, connector.Done, nil
}

func request(ctx context.Context, r intent.Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, fault.New(fault.Internal, "the rendered request can't be read")
	}
	for k, v := range r.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("User-Agent", UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	req.GetBody = nil // what can't be had again can't be sent again
	return req, nil
}

// refusedBefore reports whether the door itself said no, before it came to a
// transport: such a fault's kind says that nothing was done.
func refusedBefore(err error) bool {
	switch fault.KindOf(err) {
	case fault.Denied, fault.Invalid, fault.NotFound, fault.Conflict, fault.Unauthenticated, fault.Unavailable, fault.Limit, fault.Pending:
		return true
	case fault.Internal, fault.Unknown:
	}
	return false
}

// read takes the body, refusing what scrubbing could not have opened.
func read(resp *http.Response, c Call, mediaType string) ([]byte, error) {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, failed(c.Write, "the system compressed its answer although identity was asked for")
	}
	if resp.ContentLength > c.MaxBody {
		return nil, tooLarge(c)
	}
	if c.Read != nil && resp.StatusCode < 300 {
		if err := c.Read(resp.Body, mediaType); err != nil {
			return nil, explain(err, c.Write)
		}
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, c.MaxBody+1))
	switch {
	case err != nil:
		return nil, explain(err, c.Write)
	case int64(len(b)) > c.MaxBody:
		return nil, tooLarge(c)
	}
	return b, nil
}

func tooLarge(c Call) error {
	if c.Write {
		return fault.Newf(fault.Unknown, "the system's answer is larger than %d bytes, so its outcome is not known", c.MaxBody)
	}
	return fault.Newf(fault.Limit, "the system's answer is larger than %d bytes", c.MaxBody).
		WithHint("ask for less at a time, or raise the Integration's maxBody")
}

// maxRetryAfter bounds what is believed of a Retry-After.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads RFC 9110, section 10.2.3: seconds, or a date, which is compared
// with the answer's own. What can't be read says nothing.
func retryAfter(h http.Header) (after time.Duration, says bool) {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter), true
	}
	at, err := http.ParseTime(v)
	now, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return t
}

func locationHost(resp *http.Response) string {
	if resp.StatusCode < 300 || resp.StatusCode > 399 {
		return ""
	}
	u, err := resp.Location()
	if err != nil {
		return ""
	}
	return fault.Quote(u.Host)
}
