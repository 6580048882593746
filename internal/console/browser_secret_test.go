//go:build browser

package console_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// devtools speaks Chromium's DevTools protocol over a pair of pipes.
type devtools struct {
	t       *testing.T
	in      io.Writer
	out     *bufio.Reader
	id      int
	session string
}

// call makes one call and gives its result; events on the way are dropped.
func (d *devtools) call(method string, params map[string]any) map[string]any {
	d.t.Helper()
	d.id++
	b, err := json.Marshal(map[string]any{"id": d.id, "method": method, "params": params, "sessionId": d.session})
	if d.session == "" {
		b, err = json.Marshal(map[string]any{"id": d.id, "method": method, "params": params})
	}
	if err == nil {
		_, err = d.in.Write(append(b, 0))
	}
	for err == nil {
		var line []byte
		if line, err = d.out.ReadBytes(0); err != nil {
			break
		}
		var got struct {
			ID     int
			Result map[string]any
			Error  any
		}
		if err = json.Unmarshal(line[:len(line)-1], &got); err == nil && got.ID == d.id {
			if got.Error != nil {
				d.t.Fatalf("%s: %v", method, got.Error)
			}
			return got.Result
		}
	}
	d.t.Fatalf("%s: %v", method, err)
	return nil
}

// text evaluates an expression to a text.
func (d *devtools) text(expression string) string {
	d.t.Helper()
	r, _ := d.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")"})["result"].(map[string]any)
	return fmt.Sprint(r["value"])
}

func (d *devtools) until(expression, want string) {
	d.t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if got = d.text(expression); strings.Contains(got, want) {
			return
		}
	}
	d.t.Fatalf("%s is %q, not %q", expression, got, want)
}

func chromium(t *testing.T) *devtools {
	t.Helper()
	inR, inW, err := os.Pipe()
	outR, outW, err2 := os.Pipe()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	cmd := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{inR, outW} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = inR.Close(), outW.Close()
	d := &devtools{t: t, in: inW, out: bufio.NewReader(outR)}
	t.Cleanup(func() {
		if _, err := io.WriteString(inW, `{"id":0,"method":"Browser.close"}`+"\x00"); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, outR) // until it is gone
		_ = cmd.Wait()
		_, _ = inW.Close(), outR.Close()
	})
	target := d.call("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	d.session, _ = d.call("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	return d
}

// A person fills the form in and presses the button, in a real browser under the
// page's own content policy: what leaves has no value, and what arrives is it.
func TestAValueLeavesTheBrowserEncrypted(t *testing.T) {
	o := open(t)
	ada := o.hire("ada", ident.Admin).enter()
	var mu sync.Mutex
	posted := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			posted += string(b) + "\n"
			mu.Unlock()
			r.Body = io.NopCloser(strings.NewReader(string(b)))
		}
		r.AddCookie(&http.Cookie{Name: "sallyport", Value: ada.cookie})
		o.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	d := chromium(t)
	const value = "cnry-4k8w1x6m2z9q+/&=one"
	d.call("Page.navigate", map[string]any{"url": server.URL + "/secrets"})
	d.until(`document.getElementById("how-sent")?.textContent`, "encrypts the value")
	for id, text := range map[string]string{"name": "erp", "token": value, "origins": "https://erp.example", "expires": "2090-01-02"} {
		d.text(fmt.Sprintf(`document.getElementById(%q).value = %q`, id, text))
	}
	d.text(`document.querySelector("#store button").click()`)
	d.until("location.href + document.title", "done=storedSecrets")
	mu.Lock()
	body := posted
	mu.Unlock()
	form, err := url.ParseQuery(strings.TrimSpace(body))
	o.must(err)
	if form.Get("sealed") == "" || form.Has("token") || strings.Contains(body, "cnry") {
		t.Errorf("what left is %q", body)
	}
	if got := o.arrives("erp", resource.Auth{Scheme: resource.SchemeBearer}); got != "Bearer "+value {
		t.Errorf("another credential arrives: %q", got)
	}
	// Who is signed out in the meantime sends nothing.
	d.call("Page.navigate", map[string]any{"url": server.URL + "/secrets"})
	d.until(`document.getElementById("how-sent")?.textContent`, "encrypts the value")
	for id, text := range map[string]string{"name": "crm", "token": value + "2"} {
		d.text(fmt.Sprintf(`document.getElementById(%q).value = %q`, id, text))
	}
	ada.cookie = "gone"
	d.text(`document.querySelector("#store button").click()`)
	d.until(`document.getElementById("how-sent").textContent`, "nothing was sent")
	mu.Lock()
	defer mu.Unlock()
	if posted != body {
		t.Errorf("something was sent: %q", posted)
	}
}
