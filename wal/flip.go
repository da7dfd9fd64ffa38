package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// A last batch that nothing vouches for is torn if something of it is missing. But a crash takes whole sectors away: what is whole
// but for one bit was written as a whole, perhaps acknowledged, and is damaged. Its head and tail stand in for each other, so that it
// is the frames that are to be looked at.

// flipped reports whether all frames of the batch are sound, but for one bit of one of them. That frames which a crash has torn look
// like that has a probability of one in 2^32 for each bit of the frame.
func (s *source) flipped(b *batchInfo) bool {
	area := s.bytes(b.off+int64(b.header.framesAt), int(b.header.frames))
	salt := b.header.salt
	for len(area) > 0 {
		rest, ok := soundFrame(area, salt)
		if !ok {
			break
		}
		area = rest
	}
	n := len(area) // of the frame that is not sound: to where all is sound again
	for at := 1; at < len(area); at++ {
		if rest, ok := soundFrame(area[at:], salt); ok {
			if !soundFrames(rest, salt) {
				return false
			}
			n = at
			break
		}
	}
	return n > 0 && nearlyFrame(area[:n], salt)
}

// soundFrame reports whether b begins with a sound frame, and returns what follows it.
func soundFrame(b []byte, salt uint32) (rest []byte, ok bool) {
	var head frameHead
	_, body, rest, ok := head.open(b, salt)
	if ok {
		_, err := ra.OpenEntry(body)
		ok = err == nil
	}
	return rest, ok
}

// soundFrames reports whether b is nothing but sound frames.
func soundFrames(b []byte, salt uint32) bool {
	for len(b) > 0 {
		rest, ok := soundFrame(b, salt)
		if !ok {
			return false
		}
		b = rest
	}
	return true
}

// nearlyFrame reports whether b would be one sound frame if a bit of it were another.
func nearlyFrame(b []byte, salt uint32) bool {
	var head frameHead
	if _, body, rest, ok := head.open(b, salt); ok && len(rest) == 0 {
		return oneBit(body[4:], binary.LittleEndian.Uint32(body))
	}
	short := append([]byte(nil), b[:min(len(b), maxFrameHead+4)]...) // all that the checksum in front covers, and itself
	b = append(short[:len(short):len(short)], b[len(short):]...)
	for bit := range 8 * len(short) {
		b[bit/8] ^= 1 << (bit % 8)
		if rest, ok := soundFrame(b, salt); ok && len(rest) == 0 {
			return true
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	return false
}

// oneBit reports whether b has the checksum if one bit of it is turned over.
//
// Checksums are linear: whatever b is, to turn a bit over changes its checksum by what depends on its place alone. For a bit of the
// last byte that stands in the table, and each byte that follows turns it over as a byte of zeros does.
func oneBit(b []byte, checksum uint32) bool {
	change := ra.Checksum(b) ^ checksum
	var of [8]uint32
	for bit := range of {
		of[bit] = castagnoli[1<<bit]
	}
	for range b {
		for bit, c := range of {
			if c == change {
				return true
			}
			of[bit] = castagnoli[byte(c)] ^ c>>8
		}
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
