package api

import (
	"net/netip"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

// What may be tried of unsealing, in a minute. An attempt with a passphrase takes
// 256 MiB and a second of both cores, so that one is judged at a time; this machine
// has a place and a budget of its own, so that strangers can't lock out the
// operator who sits at it.
const (
	perSource    = 5  // by one address; of IPv6, by its network of 64 bits
	perStrangers = 15 // by all that are not this machine
	perHere      = 20 // by this machine
	offerFor     = 5 * time.Second
)

// attempts bounds who tries to unseal.
type attempts struct {
	mu        sync.Mutex
	since     time.Time
	by        map[string]int // of strangers; no more entries than perStrangers
	strangers int
	here      int
	busy      [2]bool // a place for strangers, and one for this machine

	offering sync.Mutex // while the store is read: the vault is read once for all who ask
	offered  time.Time
	key      vault.UnsealKey
}

// begin counts an attempt and takes the place; done leaves it. Limit: too many, or
// another one is being judged.
func (l *attempts) begin(from string, here bool, now time.Time) (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.since); age >= time.Minute || age < 0 {
		l.since, l.by, l.strangers, l.here = now, map[string]int{}, 0, 0
	}
	place, net := 0, network(from)
	if here {
		place = 1
	}
	if here && l.here >= perHere || !here && (l.strangers >= perStrangers || l.by[net] >= perSource) {
		return nil, fault.New(fault.Limit, "there were too many attempts to unseal the vault").WithHint("wait a minute")
	}
	if l.busy[place] {
		return nil, fault.New(fault.Limit, "another attempt to unseal the vault is being judged").WithHint("try again in a few seconds")
	}
	if here {
		l.here++
	} else {
		l.strangers++
		l.by[net]++
	}
	l.busy[place] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy[place] = false
	}, nil
}

// network is what an address is counted by: who has one of IPv6 has 2^64.
func network(from string) string {
	ip, err := netip.ParseAddr(from)
	if err != nil || ip.Is4() {
		return from
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return from
	}
	return p.String()
}

// offer reads what a client encrypts to, at most every few seconds: the seals of
// a sealed vault don't change, and reading them reads the vault.
func (l *attempts) offer(now time.Time, read func() (vault.UnsealKey, error)) (vault.UnsealKey, error) {
	l.offering.Lock()
	defer l.offering.Unlock()
	if age := now.Sub(l.offered); l.key.ID != "" && age >= 0 && age < offerFor {
		return l.key, nil
	}
	k, err := read()
	if err != nil {
		return vault.UnsealKey{}, err
	}
	l.key, l.offered = k, now
	return k, nil
}
