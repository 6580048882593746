package kube

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// metadataOnly asks for what there is of an object besides its data. What "kubectl
// apply" writes down beside it can still have the data in it: lines are wiped.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Bounds of a watch. The server ends each after a time that we choose, so a
// connection that died unnoticed lasts no longer, and the token that Kubernetes has
// replaced meanwhile is read again.
const (
	shortest  = 240 * time.Second // plus up to half as much, so that watches don't come in step
	tardy     = 15 * time.Second  // for the server to end it
	beginning = 20 * time.Second  // until the answer begins
	between   = time.Second       // two of them, whatever ended the first
	maxTold   = 2000              // events in one watch; an object that changes each second has 300
)

// watching is a watch on one Secret, over as many requests as it takes.
type watching struct {
	*kube
	name string
	tell func(backend.Sight)
	last string // the version that was told of last
	from string // to go on from; empty: from now
}

// Watch asks the server to tell of changes to one Secret. The role needs "watch" on
// it; the question names it, so that a role can. From a version that the server no
// longer knows it begins anew.
func (k *kube) Watch(ctx context.Context, path string, tell func(backend.Sight)) error {
	return k.watch(ctx, &watching{kube: k, name: path, tell: tell})
}

func (k *kube) watch(ctx context.Context, w *watching) error {
	for gone := false; ; {
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errGone) && w.from != "" && !gone: // twice is no forgetting: whoever calls waits longer each time
			w.from, gone = "", true
		case errors.Is(err, errGone):
			return backend.Fail(backend.Wrong, who+" knows no version to watch from")
		case err != nil:
			return err
		default:
			gone = false
		}
		pause := time.NewTimer(k.between)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// errGone says that the server has forgotten the version to go on from.
var errGone = errors.New("gone")

// once is one request. nil: the server has ended it in good order.
func (w *watching) once(ctx context.Context) error {
	life := shortest + backend.Jitter(shortest/2)
	ctx, cancel := context.WithTimeout(ctx, life+tardy)
	defer cancel()
	q := url.Values{"watch": {"1"}, "allowWatchBookmarks": {"true"}, "fieldSelector": {"metadata.name=" + w.name}, "timeoutSeconds": {strconv.Itoa(int(life.Seconds()))}}
	if w.from != "" {
		q.Set("resourceVersion", w.from)
	}
	token, err := safe.Credential(w.cfg.TokenFile)
	defer clear(token)
	if err != nil {
		return backend.FailOf(backend.Refused, "the token for Kubernetes can't be used", err)
	}
	a, body, err := rest.Stream(ctx, w.http, who, rest.Request{Method: http.MethodGet, URL: w.server + "/api/v1/namespaces/" + w.cfg.Namespace + "/secrets?" + q.Encode(),
		Header: http.Header{"Authorization": {"Bearer " + string(token)}, "Accept": {metadataOnly}}}, beginning)
	if err != nil {
		return backend.FailOf(backend.Away, "", err)
	}
	if body == nil {
		defer clear(a.Body)
		if a.Status == http.StatusGone {
			return errGone
		}
		return backend.Judge(who, a, `to be told of changes the service account needs "watch" on the Secret; docs/bring-your-own-vault.md has the role`)
	}
	defer func() { _ = body.Close() }() // it was only read
	return w.read(body)
}

// read takes events until the server ends the watch.
func (w *watching) read(body io.Reader) error {
	fresh, resumed := w.from == "", w.from != ""
	if fresh {
		w.tell(backend.Began)
	}
	in := lines{from: body}
	defer in.wipe()
	for n := range maxTold {
		line, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			if n == 0 && resumed {
				w.from = "" // of a version to come, as after etcd was restored, a server says nothing at all
			}
			return nil
		case errors.Is(err, errLong):
			return backend.Fail(backend.Wrong, who+" tells of a change in a line that is too long")
		case err != nil:
			return backend.Fail(backend.Away, "the watch of "+who+" was cut")
		}
		e, err := readEvent(line, w.cfg.Namespace, w.name)
		clear(line)
		if err != nil {
			return err
		}
		w.from = e.version
		if e.mark { // what was there at the beginning has been told
			fresh = false
			continue
		}
		if e.version == w.last {
			continue
		}
		// A watch from now begins with what is there, which is no change.
		w.tell(map[bool]backend.Sight{true: backend.Began, false: backend.Changed}[fresh && e.first])
		w.last, fresh = e.version, false
	}
	return backend.Fail(backend.Wrong, who+" tells of more changes than can be true")
}

// event is one line of a watch.
type event struct {
	version string
	mark    bool // nothing has changed up to the version
	first   bool // the object is there; it may have been so before
}

// readEvent takes a line apart. errGone, or an *Error: it is about nothing that was
// asked for.
func readEvent(line []byte, namespace, name string) (event, error) {
	wrong := backend.Fail(backend.Wrong, who+" tells of something that is not the Secret that is watched")
	m, err := object.Members(line)
	if err != nil {
		return event{}, wrong
	}
	o, err := object.Members(m["object"])
	if err != nil {
		return event{}, wrong
	}
	kind := object.Word(m["type"])
	if kind == "ERROR" {
		if code, _ := object.Number(o["code"]); code == http.StatusGone {
			return event{}, errGone
		}
		return event{}, backend.Fail(backend.Away, who+" ends the watch with an error")
	}
	meta, err := object.Members(o["metadata"])
	if err != nil || object.Word(o["kind"]) != "PartialObjectMetadata" {
		return event{}, wrong
	}
	e := event{version: object.Word(meta["resourceVersion"]), mark: kind == "BOOKMARK", first: kind == "ADDED"}
	if e.version == "" || backend.CheckVersion(e.version) != nil {
		return event{}, wrong
	}
	switch kind {
	case "BOOKMARK":
		return e, nil // it has no name
	case "ADDED", "MODIFIED", "DELETED":
		if object.Word(meta["name"]) == name && object.Word(meta["namespace"]) == namespace {
			return e, nil
		}
	}
	return event{}, wrong
}
