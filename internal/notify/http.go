package notify

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/httpcred"
)

// maxAnswer is how much of a receiver's answer is read, in bytes.
const maxAnswer = 4 << 10

// posted is the body of a webhook's message: type, timestamp and data, as the
// Standard Webhooks specification proposes.
type posted struct {
	Type      resource.Event `json:"type"`
	Timestamp time.Time      `json:"timestamp"`
	Data      data           `json:"data"`
}

type data struct {
	Text       string    `json:"text"`
	Team       string    `json:"team,omitempty"`
	Mission    string    `json:"mission,omitempty"`
	Decision   string    `json:"decision,omitempty"`
	Run        string    `json:"run,omitempty"`
	Link       string    `json:"link,omitempty"`
	Connection string    `json:"connection,omitempty"`
	Tool       string    `json:"tool,omitempty"`
	State      string    `json:"state,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`
}

func (n *Notifier) webhook(ctx context.Context, t ident.Tenant, ch *resource.Channel, m message) error {
	body, err := json.Marshal(posted{m.event, m.at.UTC(), data{Text: m.headline, Team: m.team, Mission: m.mission, Decision: m.decision,
		Run: m.onlyRun(), Link: m.link, Connection: m.connection, Tool: m.tool, State: m.state, Expires: m.expires}})
	if err != nil {
		return fault.New(fault.Internal, "encoding a message")
	}
	status, _, err := n.post(ctx, t, ch, resource.SchemeSignature, ch.Webhook.URL, m.id, body)
	if err != nil || status >= 200 && status <= 299 {
		return err
	}
	return refused(status, "")
}

// escaped are the characters that mean something in Slack's text.
var escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (n *Notifier) slack(ctx context.Context, t ident.Tenant, ch *resource.Channel, m message) error {
	origin, err := ch.Origin()
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"text": escaped.Replace(strings.Join(m.lines(), "\n")), "mrkdwn": false, "unfurl_links": false})
	if err != nil {
		return fault.New(fault.Internal, "encoding a message")
	}
	status, answer, err := n.post(ctx, t, ch, resource.SchemeAddress, dial.URL(origin)+"/", m.id, body)
	switch {
	case err != nil:
		return err
	case status == http.StatusOK && answer == "ok":
		return nil
	case status == http.StatusOK:
		return fault.New(fault.Unavailable, "the receiver answers 200 without Slack's ok").WithHint("is the address in the Secret that of an incoming webhook?")
	}
	return refused(status, slackSays[answer])
}

// slackSays are the reasons that Slack gives, in words of ours. Others are not
// shown.
var slackSays = map[string]string{ //nolint:gosec // G101: names of errors
	"invalid_payload":      "it can't read the message",
	"user_not_found":       "the user does not exist",
	"action_prohibited":    "its workspace does not permit it",
	"channel_not_found":    "the channel does not exist",
	"channel_is_archived":  "the channel is archived",
	"no_service":           "the webhook was disabled or removed: make a new one and rotate the Secret",
	"no_service_id":        "the webhook was disabled or removed: make a new one and rotate the Secret",
	"no_active_hooks":      "the webhook is disabled",
	"no_team":              "the workspace does not exist",
	"team_disabled":        "the workspace is disabled",
	"invalid_token":        "the webhook's address is wrong: rotate the Secret",
	"rate_limited":         "too many messages",
	"rollup_error":         "something went wrong there",
	"no_text":              "it can't read the message",
	"too_many_attachments": "it can't read the message",
}

// post sends one request through the door and reads a bounded answer, which is
// for comparing with what is known and not for showing.
func (n *Notifier) post(ctx context.Context, t ident.Tenant, ch *resource.Channel, scheme resource.Scheme, to, id string, body []byte) (status int, answer string, err error) {
	origin, err := ch.Origin()
	if err != nil {
		return 0, "", err
	}
	pool, err := dial.Transport(ch.Network, n.options())
	if err != nil {
		return 0, "", err
	}
	defer pool.CloseIdleConnections()
	door, err := n.Vault.OpenChannel(ctx, vault.ChannelSpec{Tenant: t, Secret: ch.SecretRef(), Origin: origin, Scheme: scheme, Base: pool})
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(string(body)))
	if err != nil {
		return 0, "", fault.New(fault.Invalid, "the Channel's address can't be read")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", dial.UserAgent)
	if scheme == resource.SchemeSignature {
		req.Header.Set(httpcred.HeaderID, id)
		req.Header.Set(httpcred.HeaderTimestamp, strconv.FormatInt(n.Now().Unix(), 10))
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode >= 300 {
		err = nil // its status says it already
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), n.Now()); err == nil && resp.StatusCode >= 300 && after > 0 {
		r := refused(resp.StatusCode, slackSays[strings.TrimSpace(string(b))])
		r.after = after
		return 0, "", r
	}
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

// refused says what a status means that is no success.
func refused(status int, says string) *refusal {
	r := &refusal{why: fault.Newf(fault.Unavailable, "the receiver answers with the status %d", status)}
	switch {
	case says != "":
		r.why = fault.Newf(fault.Unavailable, "the receiver answers with the status %d: %s", status, says)
	case status >= 300 && status <= 399:
		r.why = r.why.WithHint("redirects are not followed: write the address that it leads to")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		r.why = r.why.WithHint("does the receiver have the same signing key?")
	case status == http.StatusNotFound || status == http.StatusGone:
		r.why = r.why.WithHint("is the address right?")
	}
	return r
}

// retryAfter reads the header in both of its forms (RFC 9110, 10.2.3), bounded to
// maxAfter; 0 when it says nothing.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" || len(s) > 40 {
		return 0
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.Atoi(s)
		if err != nil || n > int(maxAfter/time.Second) {
			return maxAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxAfter))
}
