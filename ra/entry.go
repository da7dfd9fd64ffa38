package ra

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Kind says what an entry is for.
type Kind uint8

// The kinds of entries. Only commands, downs and timeouts reach the machine.
const (
	KindNoop    Kind = iota + 1 // first entry of every leadership (VER-02)
	KindCommand                 // a user's command
	KindConfig                  // a whole new configuration (MEM-07)
	KindDown                    // a monitored process ended (EFF-50)
	KindTimeout                 // a machine timer expired (EFF-19)
	KindNode                    // a monitored node came up or went down (EFF-51)
	KindDelete                  // the cluster is to be deleted (FSM-11)

	maxKind = KindDelete
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k >= KindNoop && k <= maxKind }

// Entry is one entry of a log. Body holds everything that is stored and sent, encoded once: the header below and the
// payload. It is shared by mem table, wire and write-ahead log and must not be changed once it is sealed.
//
//	offset  size
//	0       4     CRC-32C of all that follows, little endian like every number here
//	4       1     kind
//	5       1     flags, free for the owner of the kind
//	6       1     shape: how many bytes the index has (low half) and how many the term (high half)
//	7       6     time in milliseconds since 1970, as the leader saw it (MAC-04)
//	13      i     index
//	13+i    t     term
//	13+i+t  n     payload
//
// Index and term have as few bytes as they need, 1 at least, or 8 each if together they need more than 8. Small commands
// are common, and what is written for them decides how many of them a disk can take.
//
// Index and Term repeat what the sealed body says, so that the log can be searched without touching the bodies.
type Entry struct {
	Index Index
	Term  Term
	Body  []byte
}

// MinHeaderLen and MaxHeaderLen bound the length of an entry's header; the payload follows it.
const (
	MinHeaderLen = numbersAt + 2
	MaxHeaderLen = numbersAt + 16
)

// Where the parts of a header stand, as documented at Entry.
const (
	kindAt    = 4
	flagsAt   = 5
	shapeAt   = 6
	timeAt    = 7
	numbersAt = 13
)

// shape says how many bytes index and term have.
type shape uint8

// wide is the shape of a body that is not sealed yet, and of those whose numbers need more than 8 bytes.
const wide shape = 0x88

// shapeOf returns the shape of a sealed body.
func shapeOf(index Index, term Term) shape {
	i, t := width(uint64(index)), width(uint64(term))
	if i+t > 8 {
		return wide
	}
	return shape(i | t<<4)
}

func (s shape) index() int  { return int(s & 15) }
func (s shape) header() int { return numbersAt + s.index() + int(s>>4) }

// width returns how many bytes v needs, 1 at least.
func width(v uint64) int { return (bits.Len64(v|1) + 7) / 8 }

// MaxPayload bounds the payload of one entry.
const MaxPayload = 64 << 20

// castagnoli is the polynomial of all checksums here; the processor computes it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ExtendChecksum returns the CRC-32C of what crc covers followed by b.
func ExtendChecksum(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// Header is what the encoded header of an entry holds beside the checksum.
type Header struct {
	Index Index
	Term  Term
	Kind  Kind
	Flags uint8
	// Time is in milliseconds since 1970, from 0 to MaxTime. What lies outside counts as the nearest of these.
	Time int64
}

// MaxTime is the highest time of an entry, in the year 10889.
const MaxTime = 1<<48 - 1

// Draft returns the body of an entry to be proposed: it is not sealed, and has no payload yet. Up to room bytes of payload
// can be appended without another allocation. Kind and flags of an Entry with it can be asked for, and its payload.
func Draft(kind Kind, flags uint8, room int) []byte {
	b := make([]byte, MaxHeaderLen, MaxHeaderLen+room)
	b[kindAt], b[flagsAt], b[shapeAt] = byte(kind), flags, byte(wide)
	return b
}

// DraftOf is Draft with a copy of payload.
func DraftOf(kind Kind, flags uint8, payload []byte) []byte {
	if len(payload) <= MaxHeaderLen { // to append so little would double the memory, and nothing not even allocate
		return append(Draft(kind, flags, len(payload)), payload...)
	}
	b := append(noHeader[:len(noHeader):len(noHeader)], payload...) // allocated anew, and nothing is cleared before
	b[kindAt], b[flagsAt], b[shapeAt] = byte(kind), flags, byte(wide)
	return b
}

var noHeader [MaxHeaderLen]byte

// IsDraft reports whether body can have been made by Draft, so that Seal takes it.
func IsDraft(body []byte) bool {
	return len(body) >= MaxHeaderLen && len(body) <= MaxHeaderLen+MaxPayload && shape(body[shapeAt]) == wide
}

// NewBody returns a draft of no kind with a copy of payload.
func NewBody(payload []byte) []byte { return DraftOf(0, 0, payload) }

// Seal writes h and the checksum into a draft, which nobody else holds, and returns the entry. Its body is the end of the
// draft, whose kind, flags and payload can still be asked for.
func Seal(draft []byte, h Header) Entry {
	return Entry{Index: h.Index, Term: h.Term, Body: SealBody(draft, h)}
}

// SealBody is Seal for who has a place for the entry: it returns the body.
func SealBody(draft []byte, h Header) []byte {
	s := shapeOf(h.Index, h.Term)
	body := draft[MaxHeaderLen-s.header():] // 0, or at least 8: behind the draft's own kind, flags and shape
	body[kindAt], body[flagsAt], body[shapeAt] = byte(h.Kind), h.Flags, byte(s)
	binary.LittleEndian.PutUint64(body[timeAt:], uint64(min(max(h.Time, 0), MaxTime))) // its end is overwritten next
	numbers := body[numbersAt:s.header()]
	putNumber(numbers[:s.index()], uint64(h.Index))
	putNumber(numbers[s.index():], uint64(h.Term))
	binary.LittleEndian.PutUint32(body, Checksum(body[4:]))
	return body
}

// putNumber fills b with the lowest bytes of v.
func putNumber(b []byte, v uint64) {
	for i := range b {
		b[i] = byte(v)
		v >>= 8
	}
}

// number returns the number that all of b is.
func number(b []byte) (v uint64) {
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// OpenEntry checks a body that came from disk or wire, and returns the entry that it holds. The entry shares body.
// It fails with an error that wraps ErrCorrupt if the length, the checksum, the shape or the kind is wrong.
func OpenEntry(body []byte) (Entry, error) {
	if len(body) < MinHeaderLen || len(body) > MaxHeaderLen+MaxPayload {
		return Entry{}, corruptf("entry of %d bytes", len(body))
	}
	if want, got := binary.LittleEndian.Uint32(body), Checksum(body[4:]); want != got {
		return Entry{}, corruptf("entry checksum is %08x, should be %08x", got, want)
	}
	if k := Kind(body[kindAt]); !k.Valid() {
		return Entry{}, corruptf("entry of unknown kind %d", k)
	}
	e := Entry{Body: body}
	if !e.HasHeader() {
		return Entry{}, corruptf("entry of %d bytes and shape %02x", len(body), body[shapeAt])
	}
	s := shape(body[shapeAt])
	numbers := body[numbersAt:s.header()]
	e.Index, e.Term = Index(number(numbers[:s.index()])), Term(number(numbers[s.index():]))
	if len(e.Payload()) > MaxPayload || shapeOf(e.Index, e.Term) != s {
		return Entry{}, corruptf("entry of %d bytes and shape %02x", len(body), body[shapeAt])
	}
	return e, nil
}

// HasHeader reports whether the body is as long as its header says that the header is. Only then its parts may be asked for.
func (e *Entry) HasHeader() bool {
	return len(e.Body) >= MinHeaderLen && len(e.Body) >= shape(e.Body[shapeAt]).header()
}

// Kind returns what the entry is for.
func (e *Entry) Kind() Kind { return Kind(e.Body[kindAt]) }

// Flags returns the flags byte of the header.
func (e *Entry) Flags() uint8 { return e.Body[flagsAt] }

// Time returns the leader's clock at the time it accepted the entry, in milliseconds since 1970.
func (e *Entry) Time() int64 { return int64(binary.LittleEndian.Uint64(e.Body[timeAt:]) & MaxTime) }

// Payload returns the entry's payload. It shares the body and must not be changed.
func (e *Entry) Payload() []byte { return e.Body[shape(e.Body[shapeAt]).header():] }
