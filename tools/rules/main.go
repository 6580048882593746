// Command rules compares internal/scrub/unknown with gitleaks on gitleaks' own
// samples, and counts what it finds in text that should hold no secrets.
// scripts/rules.sh runs it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"

	"sallyport.dev/internal/scrub/unknown"
)

func main() { os.Exit(program()) }

func program() int {
	samples := flag.String("samples", "", "lines of JSON with gitleaks' samples")
	missed := flag.Bool("v", false, "list what was missed, and what was found wrongly")
	flag.Parse()
	if err := run(os.Stdout, *samples, flag.Args(), *missed); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

func run(w io.Writer, samples string, roots []string, verbose bool) error {
	if samples != "" {
		all, err := readSamples(samples)
		if err != nil {
			return err
		}
		if err := compare(w, all, verbose); err != nil {
			return err
		}
	}
	if len(roots) == 0 {
		return nil
	}
	return ordinary(w, roots, verbose)
}

// sample is one of gitleaks' own, as the copy of its generator wrote it.
type sample struct {
	Rule, Path, Text string
	Secret           bool
}

func readSamples(path string) ([]sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var all []sample
	for dec := json.NewDecoder(f); ; {
		var s sample
		switch err := dec.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case s.Text != "": // one rule knows files by their name alone
			all = append(all, s)
		}
	}
}

// count is a row of the table.
type count struct {
	positive, ours, theirs       int
	negative, oursBad, theirsBad int
}

// compare prints recall and false positives by family. A positive sample is
// found when nothing is left of what gitleaks' detector finds in it (of whatever
// rule); where gitleaks finds nothing, when ours finds anything.
func compare(w io.Writer, all []sample, verbose bool) error {
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return err
	}
	rows := map[string]*count{}
	for _, s := range all {
		row := rows[familyOf(s.Rule)]
		if row == nil {
			row = &count{}
			rows[familyOf(s.Rule)] = row
		}
		theirs := detector.Detect(detect.Fragment{Raw: s.Text, FilePath: s.Path}) //nolint:staticcheck // its successor is not in this version's detector
		masked, ours := unknown.Mask([]byte(s.Text))
		if !s.Secret {
			row.negative++
			row.oursBad += one(len(ours) > 0)
			row.theirsBad += one(len(theirs) > 0)
			if verbose && len(ours) > 0 {
				fmt.Fprintf(w, "FALSE %s: %s: %q\n", s.Rule, ours[0].Rule, s.Text)
			}
			continue
		}
		found := len(ours) > 0
		for _, f := range theirs {
			found = found && !bytes.Contains(masked, []byte(f.Secret))
		}
		row.positive++
		row.ours += one(found)
		row.theirs += one(len(theirs) > 0)
		if verbose && !found {
			fmt.Fprintf(w, "MISSED %s: %q\n", s.Rule, s.Text)
		}
	}
	printRows(w, rows)
	return nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func printRows(w io.Writer, rows map[string]*count) {
	fmt.Fprintln(w, "| family | positive samples | found by ours | found by gitleaks | negative samples | false by ours | false by gitleaks |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- |")
	var names []string
	var sum count
	for n, r := range rows {
		names = append(names, n)
		sum.positive += r.positive
		sum.ours += r.ours
		sum.theirs += r.theirs
		sum.negative += r.negative
		sum.oursBad += r.oursBad
		sum.theirsBad += r.theirsBad
	}
	slices.Sort(names)
	rows["**all**"] = &sum
	for _, n := range append(names, "**all**") {
		r := rows[n]
		fmt.Fprintf(w, "| %s | %d | %s | %s | %d | %d | %d |\n", n, r.positive,
			share(r.ours, r.positive), share(r.theirs, r.positive), r.negative, r.oursBad, r.theirsBad)
	}
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// families are ours, with how gitleaks' rules of each begin.
var families = map[string]string{
	"cloud": `alibaba aws azure cisco-meraki cloudflare digitalocean defined-networking fastly flyio gcp heroku netlify
		openshift scalingo squarespace yandex authress`,
	"vcs": "atlassian bitbucket github gitlab sourcegraph",
	"ci": `artifactory clojars codecov databricks doppler droneci dynatrace harness hashicorp-tf infracost intra42 jfrog launchdarkly looker
		octopus postman prefect pulumi sidekiq snyk sonar travisci`,
	"registry": "npm nuget pypi rubygems",
	"chat": `airtable asana discord frameio freshbooks gitter intercom linear mattermost microsoft-teams notion readme
		slack telegram typeform zendesk`,
	"payment": `bittrex coinbase duffel easypost etsy finicity finnhub flutterwave freemius gocardless kraken kucoin lob plaid
		shippo shopify square-access stripe`,
	"mail":    "beamer mailchimp mailgun messagebird sendbird sendgrid sendinblue twilio",
	"monitor": "datadog grafana new-relic sentry sumologic maxmind",
	"ai":      "anthropic cohere huggingface openai perplexity privateai rapidapi settlemint",
	"db":      "algolia clickhouse confluent contentful planetscale",
	"identity": `1password adafruit adobe age dropbox facebook flickr hubspot linkedin mapbox nytimes okta twitch twitter vault
		jwt-base64`,
	"http": "curl jwt",
	"key":  "kubernetes private-key",
}

// identifiers are rules for what is public by design, which we leave out.
var identifiers = []string{"adobe-client-id", "asana-client-id", "discord-client-id", "linkedin-client-id", "looker-client-id",
	"plaid-client-id", "sendbird-access-id", "sumologic-access-id", "messagebird-client-id", "new-relic-user-api-id",
	"flutterwave-public-key", "bitbucket-client-id"}

func familyOf(rule string) string {
	if slices.Contains(identifiers, rule) {
		return "(public identifiers)"
	}
	best, family := "", "generic"
	for f, prefixes := range families {
		for _, p := range strings.Fields(prefixes) {
			if strings.HasPrefix(rule, p) && len(p) > len(best) {
				best, family = p, f
			}
		}
	}
	return family
}
