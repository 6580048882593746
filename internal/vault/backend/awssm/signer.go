package awssm

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signer signs with the SDK's signer, a new one each time. One that is kept keeps what
// it derived from a secret key under the key's id for the day: a key that was wrong and
// is corrected in its file would go on being wrong, and one that was dropped live on.
type signer struct{}

// SignHTTP signs a request.
func (signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, payload, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return v4.NewSigner().SignHTTP(ctx, c, r, payload, service, region, at, opts...)
}
