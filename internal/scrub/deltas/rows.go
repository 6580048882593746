package deltas

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sort"
)

// A channel is named by a hash of what its texts have in common. The seed is
// drawn for each process, so that a system can't make two channels meet.
var (
	seed  = maphash.MakeSeed()
	salts = [...]uint64{maphash.Bytes(seed, []byte("one")), maphash.Bytes(seed, []byte("two"))}
)

func hash(b []byte) uint64 { return maphash.Bytes(seed, b) }

// mix is the hash of two hashes in their order.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^salts[0], bits.RotateLeft64(b, 29)^salts[1])
	return hi ^ lo ^ a
}

// The channels of what is no JSON, and the roots of those of JSON.
var (
	inText  = hash([]byte("text"))
	inOther = hash([]byte("other"))
	inValue = hash([]byte("value"))
	inRetry = hash([]byte("retry"))
	inID    = hash([]byte("id"))
	inEvent = hash([]byte("event"))
	inNote  = hash([]byte("comment"))
	byPath  = hash([]byte("path"))
	byName  = hash([]byte("name"))
	inList  = hash([]byte("list"))
)

// keys are the channels that a piece belongs to.
type keys struct {
	k [4]uint64
	n int
}

func (k *keys) all() []uint64 { return k.k[:k.n] }

func keysOf(all ...uint64) (k keys) {
	k.n = copy(k.k[:], all)
	return k
}

// rows reads frames into pieces.
type rows struct {
	lines  bool
	keys   []keys // of the frame's pieces
	data   []span // where the values of its data lines are, in its bytes
	joined []byte // those values, where they are more than one
	line   int    // of data, which is mapped now
	base   int    // where it begins in joined
	at     int    // up to where the data has become pieces
	gap    int    // of data, in which at is
	json   tree
}

// read finds the pieces of a frame, or says why it is refused.
func (r *rows) read(f *frame, spans []span) (refusal string) {
	r.keys, r.data = r.keys[:0], r.data[:0]
	var event uint64
	if r.lines {
		r.data = append(r.data, spans...)
	} else {
		event = r.fields(f, spans)
	}
	if len(r.data) > 0 && len(f.pieces) <= maxTexts {
		refusal = r.body(f, event)
	}
	if len(f.pieces) > maxTexts {
		refusal = tooMany
	}
	if refusal == "" && !sort.IsSorted(inPlace{f.pieces, r.keys}) {
		sort.Sort(inPlace{f.pieces, r.keys}) // a field stands behind the data
	}
	return refusal
}

// inPlace sorts pieces by where they stand.
type inPlace struct {
	pieces []piece
	keys   []keys
}

func (p inPlace) Len() int           { return len(p.pieces) }
func (p inPlace) Less(i, j int) bool { return p.pieces[i].start < p.pieces[j].start }
func (p inPlace) Swap(i, j int) {
	p.pieces[i], p.pieces[j] = p.pieces[j], p.pieces[i]
	p.keys[i], p.keys[j] = p.keys[j], p.keys[i]
}

// fields reads the lines of an event as the WHATWG says, and gives its type's
// hash. Values that are not data are pieces at once.
func (r *rows) fields(f *frame, spans []span) (event uint64) {
	for _, s := range spans {
		line := f.raw[s.start:s.end]
		colon := bytes.IndexByte(line, ':')
		name, value := line, span{s.end, s.end}
		if colon >= 0 {
			name, value.start = line[:colon], s.start+colon+1
			if value.start < s.end && f.raw[value.start] == ' ' {
				value.start++
			}
		}
		switch string(name) {
		case "":
			r.text(f, value, inNote)
		case "data":
			r.data = append(r.data, value)
		case "event":
			event = hash(f.raw[value.start:value.end])
			r.text(f, value, inEvent)
		case "id":
			r.text(f, value, inID)
		case "retry":
			r.text(f, value, inRetry)
		default: // readers of events leave it out
			r.text(f, span{s.start, s.start + len(name)}, inOther)
			r.text(f, value, mix(inOther, hash(name)), inValue)
		}
	}
	return event
}

// text makes a piece of a stretch of a line.
func (r *rows) text(f *frame, s span, channels ...uint64) {
	if s.start >= s.end {
		return
	}
	f.add(s.start, s.end)
	r.keys = append(r.keys, keysOf(channels...))
}

// body reads the data: as JSON, or as text, or as both where it is hardly JSON.
func (r *rows) body(f *frame, event uint64) (refusal string) {
	data := f.raw[r.data[0].start:r.data[0].end]
	if len(r.data) > 1 {
		r.joined = r.joined[:0]
		for _, s := range r.data {
			r.joined = append(append(r.joined, f.raw[s.start:s.end]...), '\n')
		}
		data = r.joined
	}
	inside := bytes.TrimLeft(data, " \t\n\x1e")
	if len(inside) == 0 || inside[0] != '{' && inside[0] != '[' && inside[0] != '"' {
		for _, s := range r.data {
			r.text(f, s, mix(inText, event), inText)
		}
		return ""
	}
	if why := r.json.read(data); why != "" {
		return why
	}
	r.json.name(mix(byPath, event))
	r.line, r.base, r.gap, r.at = 0, 0, 0, r.data[0].start
	for i := range r.json.leaves {
		l := &r.json.leaves[i]
		where := r.locate(l.span)
		k := r.json.keys(l)
		if r.json.odd {
			// What stands between the strings may be what says something.
			r.between(f, where.start)
			k.k[k.n] = inText
			k.n++
		}
		r.quoted(f, where, k)
		r.at = where.end
	}
	if r.json.odd {
		r.between(f, len(f.raw))
	}
	return ""
}

// locate maps a stretch of the joined data to the frame's bytes; calls come in
// order. A string that is cut off goes on to the end of its line.
func (r *rows) locate(s span) span {
	d := r.data[r.line]
	for r.line < len(r.data)-1 && s.start > r.base+d.end-d.start {
		r.base += d.end - d.start + 1
		r.line++
		d = r.data[r.line]
	}
	return span{d.start + s.start - r.base, min(d.end, d.start+s.end-r.base)}
}

// quoted makes a piece of a string's inside.
func (r *rows) quoted(f *frame, s span, k keys) {
	if s.start >= s.end {
		return
	}
	p := f.add(s.start, s.end)
	p.quoted = true
	if !r.json.odd && bytes.IndexByte(p.text, '\\') >= 0 {
		from := len(f.plain)
		f.plain = unescapeAll(f.plain, p.text)
		p.text, p.escaped = f.plain[from:], true
	}
	r.keys = append(r.keys, k)
}

// between makes pieces of the data up to end that is in none yet.
func (r *rows) between(f *frame, end int) {
	for {
		d := r.data[r.gap]
		r.text(f, span{max(r.at, d.start), min(end, d.end)}, inText)
		if end <= d.end || r.gap == len(r.data)-1 {
			break
		}
		r.gap++
	}
	r.at = max(r.at, end)
}
