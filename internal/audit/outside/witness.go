package outside

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Witness is a client of one witness: its add-checkpoint, C2SP tlog-witness.
type Witness struct {
	url  string
	key  audit.Witness
	http *http.Client
	has  int64 // size of the last checkpoint that it cosigned, as far as we know
}

// Bounds of a visit.
const (
	visitFor  = 10 * time.Second
	maxAnswer = 16 << 10
	maxVisits = 3 // of one round: another client of the same log can be ahead of us
)

// NewWitness makes one of the URL before "/add-checkpoint" and its verifier key.
// Invalid: it would be plain HTTP to another machine.
func NewWitness(at, vkey string) (*Witness, error) {
	key, err := audit.ParseWitness(vkey)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, fault.Newf(fault.Invalid, "%s is not where a witness can be", fault.Quote(at)).
			WithHint("give an https URL, or http on this machine")
	}
	return &Witness{url: strings.TrimSuffix(at, "/") + "/add-checkpoint", key: key, http: &http.Client{
		Timeout:       visitFor,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// cosign gives the line of a note with which the witness cosigns a checkpoint. A
// Conflict says that what it has seen is not what the log has.
func (w *Witness) cosign(ctx context.Context, r audit.Reader, t ident.Tenant, head audit.Head, cp audit.Checkpoint) (string, error) {
	for range maxVisits {
		if w.has > cp.Size {
			return "", w.ahead(cp.Size)
		}
		body, err := w.request(ctx, r, t, head, cp)
		if err != nil {
			return "", err
		}
		status, answer, err := w.post(ctx, body)
		if err != nil {
			return "", err
		}
		switch status {
		case http.StatusOK:
			line, err := w.open(head, answer)
			if err == nil {
				w.has = cp.Size
			}
			return line, err
		case http.StatusConflict:
			size, err := strconv.ParseInt(strings.TrimSuffix(string(answer), "\n"), 10, 64)
			if err != nil || size < 0 || fmt.Sprintf("%d\n", size) != string(answer) || size == w.has {
				return "", fault.New(fault.Unavailable, "the witness says that it has another size, and not which")
			}
			w.has = size
		case http.StatusUnprocessableEntity:
			return "", fault.New(fault.Conflict, "the witness has seen another log under this name: this one does not continue it").
				WithHint("keep a copy of the data directory, and verify the log against the anchors: sallyport audit verify")
		case http.StatusForbidden, http.StatusNotFound:
			return "", fault.Newf(fault.Denied, "the witness does not know this log or its key (status %d)", status).
				WithHint("give its operator the log's key: sallyport audit status")
		default:
			return "", fault.Newf(fault.Unavailable, "the witness answered with status %d", status)
		}
	}
	return "", fault.New(fault.Unavailable, "the witness has another size each time: does another server write the same log?")
}

// ahead is what it means that the witness has cosigned more than the log has.
func (w *Witness) ahead(size int64) error {
	has := w.has
	w.has = 0 // to be asked again
	return fault.Newf(fault.Conflict, "the witness has cosigned %d entries, and the log has %d: the log was put back", has, size).
		WithHint("if a backup was restored, ask the witness's operator to forget the log; otherwise verify the log against the anchors")
}

// request is the body of add-checkpoint: the old size, a proof from there, and the
// checkpoint.
func (w *Witness) request(ctx context.Context, r audit.Reader, t ident.Tenant, head audit.Head, cp audit.Checkpoint) ([]byte, error) {
	proof, err := audit.ProveConsistency(ctx, r, t, w.has, cp.Size)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", w.has)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteString("\n")
	b.Write(head.Checkpoint)
	return b.Bytes(), nil
}

func (w *Witness) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fault.New(fault.Invalid, "the witness's URL can't be asked")
	}
	req.Header.Set("User-Agent", "sallyport")
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, nil, fault.New(fault.Unavailable, "the witness is out of reach")
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		return 0, nil, fault.New(fault.Unavailable, "the witness's answer was cut, or is too large")
	}
	return resp.StatusCode, answer, nil
}

// open takes the witness's own line out of an answer.
func (w *Witness) open(head audit.Head, answer []byte) (string, error) {
	for line := range strings.Lines(string(answer)) {
		if !strings.HasPrefix(line, "— "+w.key.Name()+" ") || !strings.HasSuffix(line, "\n") {
			continue // other keys are not known, and ignored
		}
		_, cs, err := audit.OpenCosigned(append(bytes.Clone(head.Checkpoint), line...), head.Verifier, []audit.Witness{w.key})
		if err == nil && len(cs) == 1 {
			return line, nil
		}
	}
	return "", fault.New(fault.Denied, "what the witness sent is not signed by the configured key")
}
