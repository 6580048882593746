package awssm

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sallyport.dev/internal/vault/internal/rest"
)

// places are where the two services are.
type places struct{ secrets, sts string }

// find says where the services are: the file's addresses, else those that AWS's own
// rules have for the region. They are fixed here, once: nothing that the environment
// says later leads an SDK elsewhere.
func find(c Config) (out places, err error) {
	if !region.MatchString(c.Region) {
		return out, bad("region is not the name of one, like eu-central-1")
	}
	if c.FIPS && c.Endpoint+c.STSEndpoint != "" {
		return out, bad("fips is of the region's own endpoints: name the FIPS ones, or none")
	}
	no := false
	if out.secrets = c.Endpoint; out.secrets == "" {
		e, err := secretsmanager.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(),
			secretsmanager.EndpointParameters{Region: &c.Region, UseFIPS: &c.FIPS, UseDualStack: &no})
		if err != nil {
			return out, bad("region has no endpoint of Secrets Manager")
		}
		out.secrets = e.URI.String()
	}
	if out.sts = c.STSEndpoint; out.sts == "" {
		e, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(),
			sts.EndpointParameters{Region: &c.Region, UseFIPS: &c.FIPS, UseDualStack: &no, UseGlobalEndpoint: &no})
		if err != nil {
			return out, bad("region has no endpoint of STS")
		}
		out.sts = e.URI.String()
	}
	if out.secrets, _, err = rest.Address(whose, out.secrets); err != nil {
		return out, err
	}
	out.sts, _, err = rest.Address(whose+" stsEndpoint", out.sts)
	return out, err
}
