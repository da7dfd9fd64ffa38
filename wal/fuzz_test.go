package wal

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

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
		r, rest, err := decodeRow(b)
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
	s := stateFile{gen: 2, released: 3, current: 5, batch: 70, members: []stateMember{
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
		got, err := decodeStateFile(b)
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
