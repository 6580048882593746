// Command hello-api is the smallest system that a Mission can act on: it keeps
// greetings in memory, and serves who has its bearer token. docs/getting-started.md
// connects it; openapi.json describes it.
package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// greeting is what the system keeps.
type greeting struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

func main() {
	addr := flag.String("addr", "127.0.0.1:7412", "where to listen")
	file := flag.String("token-file", "", "file with the token that callers need")
	flag.Parse()
	fmt.Fprintln(os.Stderr, serve(*addr, *file))
	os.Exit(1) //nolint:forbidigo // this is main
}

// serve returns when it can't serve.
func serve(addr, file string) error {
	token, err := os.ReadFile(file)
	if err != nil || len(strings.TrimSpace(string(token))) == 0 {
		return errors.New("hello-api needs a -token-file with a token in it")
	}
	fmt.Fprintln(os.Stdout, "hello-api is ready at http://"+addr)
	s := &http.Server{Addr: addr, Handler: api("Bearer " + strings.TrimSpace(string(token))), ReadHeaderTimeout: 5 * time.Second}
	return s.ListenAndServe()
}

// api serves GET and POST /greetings.
func api(want string) http.Handler {
	var mu sync.Mutex
	kept := []greeting{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var g greeting
		switch {
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1:
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		case r.URL.Path != "/greetings":
			http.NotFound(w, r)
			return
		case r.Method == http.MethodPost && json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&g) != nil:
			http.Error(w, "send a greeting as JSON", http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodPost {
			_ = json.NewEncoder(w).Encode(map[string]any{"greetings": kept}) // a client that has gone is no error of ours
			return
		}
		kept = append(kept, g)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(g) // as above
	})
}
