package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// FuzzRow feeds a decoder that sees checksummed bytes only with others: no panic, and what it takes it writes the same.
func FuzzRow(f *testing.F) {
	for _, r := range []row{
		{}, {flags: rowBind | rowState, uid: "u", seqLo: 1, seqHi: 2},
		{flags: rowEntries, count: 2, first: 7, bytes: 400, seqLo: 3, seqHi: 3},
		{flags: rowRegister | rowMark | rowDelete, reg: Registration{Name: "n", Config: []byte("c")}, seqLo: 1, seqHi: 1},
	} {
		f.Add(r.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r row
		var rest []byte
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { r, rest, err = decodeRow(b) })
		if err != nil {
			return
		}
		if again := r.append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("decoded %x, encodes as %x", b[:len(b)-len(rest)], again)
		}
	})
}

// FuzzStateFile mends the checksum of whatever it gets, so that the decoder behind it is reached.
func FuzzStateFile(f *testing.F) {
	s := stateFile{gen: 2, released: 3, current: 5, currentID: 8, batch: 70, log: 7, members: []stateMember{
		{uid: "a", live: live{reg: Registration{Name: "a", Config: []byte("c")}, seq: 9}}, {uid: "b"},
	}}
	f.Add(s.encode())
	f.Add((&stateFile{gen: 1}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < stateFixed {
			return
		}
		b = bytes.Clone(b)
		copy(b, stateMagic)
		binary.LittleEndian.PutUint32(b[8:], formatVersion)
		binary.LittleEndian.PutUint64(b[16:], uint64(len(b)))
		binary.LittleEndian.PutUint32(b[12:], fileChecksum(b))
		var got *stateFile
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { got, err = decodeStateFile(b) })
		if err != nil {
			return
		}
		if again := got.encode(); !bytes.Equal(again, b) {
			t.Fatalf("decoded %x, encodes as %x", b, again)
		}
	})
}

// FuzzRecovery lays bytes over a log, with checksums of the first batch mended or not: recovery never panics, never
// fails, and does not need more memory than the files are long, many times over.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{}, uint16(0), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(headerSize+24), true)
	f.Add([]byte{0, 0, 0, 4}, uint16(headerSize+36), true)
	f.Add([]byte{7}, uint16(headerSize+batchFixed+4), true)
	f.Add(bytes.Repeat([]byte{1}, 5000), uint16(headerSize), false)
	f.Fuzz(func(t *testing.T, over []byte, at uint16, mend bool) {
		m, disk := reference(t, 1, true)
		name := "wal/" + fileName(1)
		file, err := disk.Open(name, vfs.Buffered)
		if err != nil {
			t.Fatal(err)
		}
		if len(over) > 0 {
			if _, err := file.WriteAt(over[:min(len(over), MinFileSize)], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if mend {
			mendFirst(t, disk, name)
		}
		m.cfg.FS = disk.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
		m.open()
		if m.err != nil {
			t.Fatal(m.err)
		}
	})
}

// mendFirst gives the first batch a head with the right checksum.
func mendFirst(t *testing.T, disk *vfs.Mem, name string) {
	b := whole(t, disk, name)[headerSize:]
	h := decodeBatchHeader(b)
	if uint64(h.table) > uint64(len(b)-batchFixed) {
		return
	}
	h.encode(b, headMagic, b[batchFixed:][:h.table])
	file, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(b[:batchFixed], headerSize); err != nil {
		t.Fatal(err)
	}
}

// FuzzFileHeader mends the checksum of whatever it gets: what is taken is what would be written.
func FuzzFileHeader(f *testing.F) {
	h := fileHeader{id: 7, seq: 3, prevSeq: 2, prevID: 6, prevEnd: 3 * block, firstBatch: 9, size: MinFileSize, log: 5}
	var good [headerSize]byte
	h.encode(good[:])
	f.Add(good[:80])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > block {
			return
		}
		one := make([]byte, block)
		copy(one, b)
		copy(one, fileMagic)
		binary.LittleEndian.PutUint32(one[8:], formatVersion)
		binary.LittleEndian.PutUint32(one[12:], fileChecksum(one))
		h, err := decodeFileHeader(one)
		if err != nil {
			t.Fatal(err)
		}
		var again [headerSize]byte
		h.encode(again[:])
		if !bytes.Equal(again[16:80], one[16:80]) {
			t.Fatalf("decoded %x, encodes as %x", one[:80], again[:80])
		}
	})
}

// FuzzHighWater mends the checksum of whatever it gets: what is taken is what would be written, and no number in it is so
// high that one more has no place.
func FuzzHighWater(f *testing.F) {
	mark := highWater{log: 5, file: 3, batch: 70, id: 9}
	good := make([]byte, markSize)
	mark.encode(good)
	f.Add(good[:48])
	mark.file = maxNumber
	mark.encode(good)
	f.Add(good[:48])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > markSize {
			return
		}
		one := make([]byte, markSize)
		copy(one, b)
		copy(one, highWaterMagic)
		binary.LittleEndian.PutUint32(one[8:], formatVersion)
		binary.LittleEndian.PutUint32(one[12:], fileChecksum(one))
		h, err := decodeHighWater(one)
		if err != nil {
			if h != (highWater{}) || !errors.Is(err, ra.ErrCorrupt) {
				t.Fatalf("%+v, %v", h, err)
			}
			return
		}
		again := make([]byte, markSize)
		h.encode(again)
		if !bytes.Equal(again[16:48], one[16:48]) || h.file >= maxNumber || h.batch+1 == 0 {
			t.Fatalf("decoded %x, encodes as %x", one[:48], again[:48])
		}
	})
}

// FuzzBatch reads any bytes as a batch whose head has the right checksum: no panic, nothing outside of it, and every entry
// that is taken is sealed.
func FuzzBatch(f *testing.F) {
	told := []byte{1, 1, 2, 3, 4, 2, 0} // of one batch, in which the first member wrote
	size := rowFixed + 16 + len(told)
	h := batchHeader{fileID: 7, seq: 2, length: block, framesAt: uint32(batchFixed + size), table: uint32(size), rows: 1, salt: 5}
	body := ra.Seal(ra.NewBody([]byte("payload")), ra.Header{Index: 3, Term: 1, Kind: ra.KindCommand}).Body
	frame := make([]byte, maxFrameHead+len(body))
	frame = frame[:new(frameHead).put(frame, h.salt, 0, body)]
	r := row{flags: rowEntries, count: 1, first: 3, bytes: uint64(len(frame)), seqLo: 1, seqHi: 1}
	h.frames = r.bytes
	b := make([]byte, block)
	h.encode(b, headMagic, append(r.append(b[:batchFixed]), told...)[batchFixed:])
	if _, all, ok := decodeTable(b[batchFixed:][:size], 1); !ok || len(all) != 1 {
		f.Fatalf("the table has %v, %v", all, ok)
	}
	copy(b[h.framesAt:], frame)
	f.Add(b)
	f.Add(b[:batchFixed])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(bytes.Clone(b), make([]byte, alignUp(max(len(b), 1))-len(b))...)
		h := decodeBatchHeader(b)
		if uint64(h.table) > uint64(len(b)-batchFixed) {
			return
		}
		h.encode(b, headMagic, b[batchFixed:][:h.table])
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { readBatch(t, b, h.fileID) })
	})
}

// readBatch reads a file that begins with a batch.
func readBatch(t *testing.T, b []byte, id uint64) {
	disk := vfs.NewMem()
	file, err := disk.Create("f", vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	s := &source{f: file, size: int64(len(b))}
	got, ok := s.head(0, s.size, id)
	if !ok {
		return
	}
	if got.end() > s.size || len(got.table) != int(got.header.table) {
		t.Fatalf("a batch up to %d, with a table of %d bytes, in %d bytes", got.end(), len(got.table), len(b))
	}
	if rows, _, ok := decodeTable(got.table, got.header.rows); ok && len(rows) != int(got.header.rows) {
		t.Fatalf("%d rows, counted are %d", len(rows), got.header.rows)
	}
	s.frames(&got, func(f frame) {
		if _, err := ra.OpenEntry(f.entry.Body); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzName: a name stands for a number only if it is exactly the one that would be given to it.
func FuzzName(f *testing.F) {
	f.Add(fileName(17))
	f.Add(spareName(1))
	f.Add("17.wal")
	f.Fuzz(func(t *testing.T, name string) {
		for suffix, of := range map[string]func(uint64) string{walSuffix: fileName, spareSuffix: spareName, stateSuffix: stateName} {
			if n, ok := number(name, suffix); ok && of(n) != name {
				t.Fatalf("%q is taken for %q", name, of(n))
			}
		}
	})
}
