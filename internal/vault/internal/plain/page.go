package plain

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
)

// Page holds one key outside Go's heap, in a page of memory of its own that is
// neither swapped nor dumped nor inherited by a child, where the system permits.
type Page struct {
	mu      sync.RWMutex
	page    []byte // mmapped; never unmapped, so that a late reader finds zeroes, not a fault
	n       int    // bytes of the key; 0 after Wipe
	exposed error  // what the system did not permit
}

// NewPage moves key into a page and wipes the Value. What the system does not
// permit is no error here: [Exposed] says it.
func NewPage(key Value) (*Page, error) {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil || len(Bytes(key)) > len(page) {
		return nil, fault.New(fault.Unavailable, "no memory page for the root key")
	}
	var exposed error
	if err := unix.Mlock(page); err != nil {
		exposed = fmt.Errorf("locking the root key's page into memory: %w", err)
	}
	exposed = errors.Join(exposed, undumpable(page)) // before the key is in it
	n := copy(page, Bytes(key))
	Wipe(key)
	return &Page{page: page, n: n, exposed: exposed}, nil
}

// Exposed says which protection the system refused the page (a limit on locked
// memory, an old kernel), or nil. The key then may reach swap or a core file;
// everything else holds.
func Exposed(p *Page) error { return p.exposed }

// Use lends the key to f and reports whether there is one. f doesn't keep it.
func Use(p *Page, f func(key []byte)) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.n == 0 {
		return false
	}
	f(p.page[:p.n])
	return true
}

// WipePage zeroes the key once no Use is under way.
func WipePage(p *Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.page)
	p.n = 0
}
