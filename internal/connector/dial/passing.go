package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"

	"sallyport.dev/internal/fault"
)

// exchange is what a [Send] and the [Pool] below its door tell each other. The
// door between them passes on no error as it is.
type exchange struct {
	write   bool        // it is a write, whatever its method
	passing atomic.Bool // what broke it may be gone soon
}

// exchangeKey is an exchange's place in a request's context.
type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// note keeps whether a transport's error is of the moment.
func (x *exchange) note(err error) {
	if err != nil && passes(err) {
		x.passing.Store(true)
	}
}

// passes says whether a later try may do better: nobody listened, no answer to the
// dial, no name server, or the connection was cut. A name that does not exist, an
// address that is not permitted, a certificate that is not valid, and bytes that are
// no HTTP will be the same again.
func passes(err error) bool {
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return false // the dialler's refusal of an address, or a door's
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !dns.IsNotFound
	}
	for _, cause := range []error{
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return true
	}
	// A kept connection that the system had closed: net/http has no type for it.
	s := err.Error()
	return strings.Contains(s, "server closed idle connection") || strings.Contains(s, "cannot rewind body after connection loss")
}

// asksAgain says whether the system asks for the same call later: it takes none
// now, and says when it will.
func asksAgain(r *http.Response) bool {
	_, says := retryAfter(r.Header)
	return says && (r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable)
}
