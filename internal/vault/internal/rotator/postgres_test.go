package rotator

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// message is one of PostgreSQL's protocol, version 3.
func message(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

// A server that is not the policy's, or would have the password as it is, gets no part
// of it; one that takes everybody is no proof of a password; one that goes on is cut.
func TestAPostgreSQLThatIsNotThePolicysGetsNoPassword(t *testing.T) {
	ready := append(message('R', 0, 0, 0, 0), message('Z', 'I')...)
	for name, c := range map[string]struct {
		says  []byte // after what comes first
		again int    // how often more
		tls   bool
	}{
		"the password as it is": {says: message('R', 0, 0, 0, 3)},
		"its MD5":               {says: message('R', 0, 0, 0, 5, 1, 2, 3, 4)},
		"takes everybody":       {says: append(ready, append(message('C', []byte("SELECT 1\x00")...), message('Z', 'I')...)...)},
		"no TLS":                {says: []byte("N"), tls: true},
		"no TLS, and goes on":   {says: append([]byte("N"), ready...), tls: true},
		"an error before TLS":   {says: message('E', []byte("SFATAL\x00C28000\x00MZq83\x00\x00")...), tls: true},
		"a giant message":       {says: []byte{'R', 0x3f, 0xff, 0xff, 0xff}, again: 4096},
		"no end":                {says: message('N', append(bytes.Repeat([]byte("Mx"), 4<<10), 0)...), again: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var heard bytes.Buffer
			sent := 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				s, err := l.Accept()
				if err != nil {
					return
				}
				defer s.Close()
				_ = s.SetDeadline(time.Now().Add(10 * time.Second))
				b := make([]byte, 4<<10)
				n, _ := s.Read(b)
				heard.Write(b[:n])
				for range 1 + c.again {
					n, err := s.Write(c.says)
					if sent += n; err != nil {
						break
					}
				}
				_, _ = io.Copy(&heard, io.LimitReader(s, 1<<20))
			}()
			_, ca := certificate(t, "localhost")
			q := &resource.SQLRotator{Host: "localhost", Port: 5432, CA: ca}
			if !c.tls {
				q.CA, q.Network.AllowLoopbackHTTP = "", true
			}
			j := Job{Rotator: resource.Rotator{Kind: resource.RotatorPostgres, SQL: q}, Version: login("keeper", "keeper-Zq83mPw0vXr5"),
				Dial: func(ctx context.Context, _ string, _ bool) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
				}}
			err = passwords{postgres{}}.Try(t.Context(), j)
			<-done
			if err == nil || strings.Contains(err.Error(), "Zq83") {
				t.Errorf("it is %v (%s)", err, fault.KindOf(err))
			}
			if b := heard.Bytes(); bytes.Contains(b, []byte("Zq83")) || bytes.Contains(b, []byte("md5")) || c.tls && (bytes.Contains(b, []byte("keeper")) || len(b) > 8) {
				t.Errorf("the server has %q", b)
			}
			if sent > 64<<20 {
				t.Errorf("it was let say %d bytes", sent)
			}
		})
	}
}
