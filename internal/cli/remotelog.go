package cli

import (
	"context"
	"errors"
	"net/http"

	"sallyport.dev/client"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
)

const logRoute = "/v1/audit/log/"

// remoteLog reads a server's audit log by the C2SP tlog-tiles API.
func remoteLog(c *client.Client) audit.Getter {
	return func(ctx context.Context, path string) ([]byte, error) {
		var b []byte
		err := c.Call(ctx, "GET", logRoute+path, nil, &b)
		if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusNotFound {
			return nil, fault.New(fault.NotFound, "the server's log has no "+fault.Quote(path))
		}
		return b, err
	}
}
