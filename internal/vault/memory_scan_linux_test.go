package vault_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/vault"
)

// ownMemory is the memory of the process itself. It is opened before Harden:
// afterwards /proc/self/mem belongs to root.
type ownMemory struct {
	file *os.File
	buf  []byte // outside Go's heap, and not searched itself
}

func openMemory() (*ownMemory, error) {
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	buf, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	return &ownMemory{f, buf}, err
}

// mapping is one of /proc/self/smaps.
type mapping struct {
	low, high  uint64
	mode, name string
	flags      []string // VmFlags
}

func mappings() ([]mapping, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []mapping
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		var m mapping
		switch n, _ := fmt.Sscanf(words[0], "%x-%x", &m.low, &m.high); {
		case n == 2:
			m.mode, m.name = words[1], strings.Join(words[5:], " ")
			out = append(out, m)
		case words[0] == "VmFlags:":
			out[len(out)-1].flags = words[1:]
		}
	}
	return out, nil
}

// where says what a mapping is, in words.
func (m mapping) where() string {
	switch {
	case m.name == "" && slices.Contains(m.flags, "lo") && slices.Contains(m.flags, "dd") && slices.Contains(m.flags, "wf"):
		return "locked page"
	case m.name == "[stack]":
		return "main stack"
	case m.name == "" || strings.HasPrefix(m.name, "[anon"):
		return "heap" // goroutines' stacks are in it, too
	}
	return m.name
}

// window is how many bytes of a needle count as a copy of it, from its begin and
// up to its end: half a key is bad enough.
const window = 16

// probe is one window. Its first eight bytes are kept multiplied, so that the
// table is no copy either.
type probe struct {
	masked, mask []byte
	needle       int // index
	offset       uint64
}

const odd = 0x9E3779B97F4A7C15

// found counts copies by what ("root key: raw"), then by where.
type found map[string]map[string]int

// search looks for every needle in all of the process's memory.
func (o *ownMemory) search(needles []vault.Masked) (found, error) {
	probes, bloom := map[uint64][]probe{}, make([]bool, 1<<16)
	for i, n := range needles {
		for _, at := range []int{0, len(n.Masked) - window} {
			p := probe{masked: n.Masked[at : at+window], mask: n.Mask[at : at+window], needle: i, offset: uint64(at)}
			word := (binary.LittleEndian.Uint64(p.masked) ^ binary.LittleEndian.Uint64(p.mask)) * odd
			probes[word], bloom[word>>48] = append(probes[word], p), true
		}
	}
	maps, err := mappings()
	if err != nil {
		return nil, err
	}
	type place struct {
		needle int
		addr   uint64
	}
	out, seen := found{}, map[place]bool{}
	own := uint64(uintptrOf(o.buf))
	for _, m := range maps {
		if m.mode[0] != 'r' || strings.HasPrefix(m.name, "[v") {
			continue
		}
		for _, part := range m.without(own, own+uint64(len(o.buf))) {
			for at := part[0]; at < part[1]; {
				buf := o.buf[:min(uint64(len(o.buf)), part[1]-at)]
				n, err := o.file.ReadAt(buf, int64(at))
				if err != nil {
					break // not readable after all
				}
				for i := 0; i+window <= n; i++ {
					word := binary.LittleEndian.Uint64(buf[i:]) * odd
					if word == 0 {
						i += 7 // nothing random begins with so many zeroes; most of memory does
						continue
					}
					if !bloom[word>>48] {
						continue
					}
					for _, p := range probes[word] {
						if at := (place{p.needle, at + uint64(i) - p.offset}); p.is(buf[i:]) && !seen[at] {
							seen[at] = true
							out.add(needles[p.needle], m)
						}
					}
				}
				if uint64(n) == part[1]-at {
					break
				}
				at += uint64(n) - window + 1 // n is a whole buffer here
			}
		}
	}
	clear(o.buf)
	return out, nil
}

// without gives the parts of the mapping beside the range, which the kernel may
// have joined with it.
func (m mapping) without(low, high uint64) [][2]uint64 {
	if high <= m.low || m.high <= low {
		return [][2]uint64{{m.low, m.high}}
	}
	return [][2]uint64{{m.low, max(low, m.low)}, {min(high, m.high), m.high}}
}

func (p probe) is(b []byte) bool {
	diff := byte(0)
	for i := range p.masked {
		diff |= p.masked[i] ^ p.mask[i] ^ b[i]
	}
	return diff == 0
}

// total counts the copies of something, in any form, by where; "" is everywhere.
func (f found) total(name, where string) (n int) {
	for what, places := range f {
		if !strings.HasPrefix(what, name+": ") {
			continue
		}
		for at, k := range places {
			if where == "" || at == where {
				n += k
			}
		}
	}
	return n
}

func (f found) add(n vault.Masked, m mapping) {
	what := n.Name + ": " + n.Form
	if f[what] == nil {
		f[what] = map[string]int{}
	}
	f[what][m.where()]++
}
