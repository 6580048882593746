package mcp

import (
	"encoding/json"
	"sync"
	"time"
)

// The limits of what is remembered of a server.
const (
	maxPeers = 256
	maxFresh = 60 * time.Second // of a list: then the server is asked again
	maxSID   = 512              // bytes of a session's id
)

// peer is a server as one credential sees it. Nothing of it is ever used with
// another: a server may show each one something else.
type peer struct {
	busy chan struct{} // holds one token while somebody talks about the fields
	used time.Time
	era  era
	said json.RawMessage // what the server said of itself when it was greeted
	seen *view           // nil: to be asked for
}

// era is how a server is spoken to.
type era struct {
	version string // "": not known yet
	session string // its id, of the older versions
}

// peers are those of one Integration, by credential.
type peers struct {
	mu  sync.Mutex
	all map[string]*peer
}

// of gives the peer of a credential. The one that was not used for the longest time
// makes room: what is forgotten is asked again.
func (p *peers) of(credential string) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	x, ok := p.all[credential]
	if !ok {
		if p.all == nil {
			p.all = map[string]*peer{}
		}
		if len(p.all) >= maxPeers {
			oldest := ""
			for name, y := range p.all {
				if oldest == "" || y.used.Before(p.all[oldest].used) {
					oldest = name
				}
			}
			delete(p.all, oldest)
		}
		x = &peer{busy: make(chan struct{}, 1)}
		p.all[credential] = x
	}
	x.used = now
	return x
}
