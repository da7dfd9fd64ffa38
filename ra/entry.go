package ra

import (
	"encoding/binary"
	"hash/crc32"
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
//	4       8     index
//	12      8     term
//	20      1     kind
//	21      1     flags, free for the owner of the kind
//	22      8     time in milliseconds since 1970, as the leader saw it (MAC-04)
//	30      n     payload
//
// Index and Term repeat what the sealed body says, so that the log can be searched without touching the bodies.
type Entry struct {
	Index Index
	Term  Term
	Body  []byte
}

// HeaderLen is the length of an entry's header in its body; the payload starts there.
const HeaderLen = 30

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
	// Time is in milliseconds since 1970.
	Time int64
}

// NewBody returns an unsealed body with a copy of payload. Seal it before it is stored or sent.
func NewBody(payload []byte) []byte {
	b := make([]byte, HeaderLen+len(payload))
	copy(b[HeaderLen:], payload)
	return b
}

// Seal writes h and the checksum into body, which NewBody made and nobody else holds, and returns the entry.
func Seal(body []byte, h Header) Entry {
	binary.LittleEndian.PutUint64(body[4:], uint64(h.Index))
	binary.LittleEndian.PutUint64(body[12:], uint64(h.Term))
	body[20] = byte(h.Kind)
	body[21] = h.Flags
	binary.LittleEndian.PutUint64(body[22:], uint64(h.Time))
	binary.LittleEndian.PutUint32(body, Checksum(body[4:]))
	return Entry{Index: h.Index, Term: h.Term, Body: body}
}

// OpenEntry checks a body that came from disk or wire, and returns the entry that it holds. The entry shares body.
// It fails with an error that wraps ErrCorrupt if the length, the checksum or the kind is wrong.
func OpenEntry(body []byte) (Entry, error) {
	if len(body) < HeaderLen || len(body) > HeaderLen+MaxPayload {
		return Entry{}, corruptf("entry of %d bytes", len(body))
	}
	if want, got := binary.LittleEndian.Uint32(body), Checksum(body[4:]); want != got {
		return Entry{}, corruptf("entry checksum is %08x, should be %08x", got, want)
	}
	if k := Kind(body[20]); !k.Valid() {
		return Entry{}, corruptf("entry of unknown kind %d", k)
	}
	return Entry{
		Index: Index(binary.LittleEndian.Uint64(body[4:])),
		Term:  Term(binary.LittleEndian.Uint64(body[12:])),
		Body:  body,
	}, nil
}

// Kind returns what the entry is for.
func (e *Entry) Kind() Kind { return Kind(e.Body[20]) }

// Flags returns the flags byte of the header.
func (e *Entry) Flags() uint8 { return e.Body[21] }

// Time returns the leader's clock at the time it accepted the entry, in milliseconds since 1970.
func (e *Entry) Time() int64 { return int64(binary.LittleEndian.Uint64(e.Body[22:])) }

// Payload returns the entry's payload. It shares the body and must not be changed.
func (e *Entry) Payload() []byte { return e.Body[HeaderLen:] }
