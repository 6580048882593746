package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/mod/modfile"
)

// Linked are the modules that the binary may have code of (on the system that
// the test runs on), each with who brings it. Everybody who runs Sallyport
// trusts all of them: a new row is a decision, not a chore.
//
// A direct dependency says "direct"; why it is one is in docs/dependencies.md.
var Linked = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/azcore":                      "direct",
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity":                  "direct",
	"github.com/Azure/azure-sdk-for-go/sdk/internal":                    "azcore",
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets": "direct",
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/internal":  "azsecrets: the vault's challenge",
	"github.com/AzureAD/microsoft-authentication-library-for-go":        "azidentity",
	"github.com/aws/aws-sdk-go-v2":                                      "direct",
	"github.com/aws/aws-sdk-go-v2/credentials":                          "direct",
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds":                     "direct",
	"github.com/aws/aws-sdk-go-v2/internal/configsources":               "secretsmanager, sts",
	"github.com/aws/aws-sdk-go-v2/internal/endpoints/v2":                "secretsmanager, sts",
	"github.com/aws/aws-sdk-go-v2/internal/v4a":                         "sts",
	"github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding":     "sts",
	"github.com/aws/aws-sdk-go-v2/service/internal/presigned-url":       "sts",
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager":               "direct",
	"github.com/aws/aws-sdk-go-v2/service/sts":                          "direct",
	"github.com/aws/smithy-go":                                          "direct",
	"github.com/golang-jwt/jwt/v5":                                      "the Microsoft library: assertions with a certificate",
	"github.com/kylelemons/godebug":                                     "the Microsoft library: verbose errors, which nobody prints",
	"github.com/pkg/browser":                                            "the Microsoft library: people who sign in, which nobody does here",
	"github.com/anthropics/anthropic-sdk-go":                            "direct",
	"github.com/bahlo/generic-list-go":                                  "ordered-map",
	"github.com/buger/jsonparser":                                       "ordered-map",
	"github.com/cedar-policy/cedar-go":                                  "direct",
	"github.com/dbos-inc/dbos-transact-golang":                          "direct",
	"github.com/dustin/go-humanize":                                     "modernc.org/sqlite",
	"github.com/fxamacker/cbor/v2":                                      "direct",
	"github.com/getkin/kin-openapi":                                     "direct",
	"github.com/go-jose/go-jose/v4":                                     "direct",
	"github.com/go-json-experiment/json":                                "kin-openapi",
	"github.com/go-logr/logr":                                           "otel",
	"github.com/go-logr/stdr":                                           "otel",
	"filippo.io/edwards25519":                                           "go-sql-driver/mysql",
	"github.com/go-sql-driver/mysql":                                    "direct",
	"github.com/go-openapi/jsonpointer":                                 "kin-openapi",
	"github.com/go-openapi/swag/jsonname":                               "jsonpointer",
	"github.com/goccy/go-yaml":                                          "direct",
	"github.com/google/uuid":                                            "dbos",
	"github.com/invopop/jsonschema":                                     "anthropic-sdk-go",
	"github.com/jackc/pgerrcode":                                        "dbos, for its PostgreSQL store",
	"github.com/jackc/pgpassfile":                                       "pgx",
	"github.com/jackc/pgservicefile":                                    "pgx",
	"github.com/jackc/pgx/v5":                                           "direct",
	"github.com/jackc/puddle/v2":                                        "pgx",
	"github.com/oasdiff/yaml":                                           "kin-openapi",
	"github.com/oasdiff/yaml3":                                          "kin-openapi",
	"github.com/pb33f/ordered-map/v2":                                   "invopop/jsonschema",
	"github.com/remyoudompheng/bigfft":                                  "modernc.org/sqlite",
	"github.com/robfig/cron/v3":                                         "direct",
	"github.com/santhosh-tekuri/jsonschema/v6":                          "direct",
	"github.com/spf13/cobra":                                            "direct",
	"github.com/spf13/pflag":                                            "cobra",
	"github.com/standard-webhooks/standard-webhooks/libraries":          "anthropic-sdk-go",
	"github.com/tidwall/gjson":                                          "the model SDKs",
	"github.com/tidwall/match":                                          "gjson",
	"github.com/tidwall/pretty":                                         "gjson",
	"github.com/tidwall/sjson":                                          "the model SDKs",
	"github.com/x448/float16":                                           "fxamacker/cbor",
	"go.opentelemetry.io/auto/sdk":                                      "otel",
	"go.opentelemetry.io/otel":                                          "dbos; nothing is exported",
	"go.opentelemetry.io/otel/metric":                                   "otel",
	"go.opentelemetry.io/otel/trace":                                    "dbos",
	"go.yaml.in/yaml/v4":                                                "ordered-map",
	"golang.org/x/crypto":                                               "direct",
	"golang.org/x/exp":                                                  "cedar-go",
	"golang.org/x/mod":                                                  "direct",
	"golang.org/x/net":                                                  "direct",
	"golang.org/x/sync":                                                 "pgx, x/mod",
	"golang.org/x/sys":                                                  "direct",
	"golang.org/x/term":                                                 "direct",
	"golang.org/x/text":                                                 "direct",
	"modernc.org/libc":                                                  "modernc.org/sqlite",
	"modernc.org/mathutil":                                              "modernc.org/sqlite",
	"modernc.org/memory":                                                "modernc.org/sqlite",
	"modernc.org/sqlite":                                                "direct",
}

func readModFile(root string) (*modfile.File, error) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	return modfile.Parse("go.mod", b, nil)
}

// linkedModules compares the modules that main links with the list.
func linkedModules(g Graph, main string) (bad []string) {
	if g.Packages[main] == nil {
		return []string{main + " is not in the module"}
	}
	linked := map[string]string{} // module: how it gets in
	via := g.reach(main)
	for _, p := range sortedKeys(via) {
		if q := g.Packages[p]; q != nil && q.Module != "" && !q.Own && linked[q.Module] == "" {
			linked[q.Module] = way(via, main, p)
		}
	}
	for _, m := range sortedKeys(linked) {
		if Linked[m] == "" {
			bad = append(bad, fmt.Sprintf("the binary links %s (%s): is it wanted? Then add it to Linked (modules.go)", m, linked[m]))
		}
	}
	for _, m := range sortedKeys(Linked) {
		if linked[m] == "" {
			bad = append(bad, m+" is in Linked but the binary doesn't link it")
		}
	}
	return bad
}

// entry is a row of docs/dependencies.md.
var entry = regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9./_-]+)` \\|")

// documented compares the direct dependencies with the rows of a document.
func documented(direct []string, document string) (bad []string) {
	rows := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(document, -1) {
		rows[m[1]] = true
	}
	wanted := map[string]bool{}
	for _, m := range direct {
		wanted[m] = true
		if !rows[m] {
			bad = append(bad, m+" is a direct dependency without a row in docs/dependencies.md")
		}
	}
	for _, m := range sortedKeys(rows) {
		if !wanted[m] {
			bad = append(bad, m+" has a row in docs/dependencies.md but go.mod doesn't require it directly")
		}
	}
	return bad
}
