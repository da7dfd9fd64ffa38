package etcdhost

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"go.etcd.io/raft/v3/raftpb"
)

// record is one record of a log file.
type record struct {
	cluster     uint32
	term, index uint64
	kind        byte
	data        []byte
}

// readRecords returns the records of a log file that has not wrapped round, up to the first block without one.
func readRecords(t *testing.T, path string) []record {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	for offset := 0; offset+headerLen <= len(b); {
		length := int(binary.LittleEndian.Uint32(b[offset+4:]))
		crc := binary.LittleEndian.Uint32(b[offset:])
		if crc == 0 && length == 0 {
			if offset%block == 0 {
				break
			}
			offset = roundUp(offset)
			continue
		}
		r := b[offset : offset+headerLen+length]
		if got := crc32.Checksum(r[4:], castagnoli); got != crc {
			t.Fatalf("checksum at %d is %08x, should be %08x", offset, got, crc)
		}
		records = append(records, record{
			binary.LittleEndian.Uint32(r[8:]), binary.LittleEndian.Uint64(r[12:]), binary.LittleEndian.Uint64(r[20:]),
			r[28], r[headerLen:],
		})
		offset += len(r)
		if block-offset%block < headerLen && offset%block != 0 && allZero(b[offset:roundUp(offset)]) {
			offset = roundUp(offset) // the rest of the block is too short for the check above
		}
	}
	return records
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// Every command that was answered is in the log files of two nodes at least, under a checksum.
func TestLogHoldsCommands(t *testing.T) {
	dir := t.TempDir()
	h := New(Options{Async: true})
	if err := h.Start(3, dir); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const clusters, commands = 5, 300
	if err := h.StartClusters(clusters); err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, clusters*commands)
	payload := make([]byte, 700)
	for i := range commands {
		for c := range clusters {
			binary.LittleEndian.PutUint64(payload, uint64(c*commands+i))
			h.Propose(c, payload, func(err error) { answers <- err })
		}
	}
	for range clusters * commands {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	copies := map[uint64]int{}
	for _, node := range []string{"node0", "node1", "node2"} {
		last := map[uint32]uint64{}
		for _, r := range readRecords(t, filepath.Join(dir, node, "wal")) {
			if r.kind != byte(raftpb.EntryNormal) {
				continue
			}
			if r.index != last[r.cluster]+1 {
				t.Fatalf("%s: cluster %d has entry %d after %d", node, r.cluster, r.index, last[r.cluster])
			}
			last[r.cluster] = r.index
			if len(r.data) > 0 {
				copies[binary.LittleEndian.Uint64(r.data)]++
			}
		}
	}
	for command := range uint64(clusters * commands) {
		if copies[command] < 2 {
			t.Errorf("command %d is on %d nodes", command, copies[command])
		}
	}
}

func TestFileWrapsRound(t *testing.T) {
	f, err := createFile(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var b batchBuffer
	b.record(1, 1, 1, 0, make([]byte, block))
	f.offset = fileSize - block
	if err := f.writeSync(b.b); err != nil {
		t.Fatal(err)
	}
	if f.offset != 2*block {
		t.Errorf("offset is %d, should be %d", f.offset, 2*block)
	}
	if err := f.writeSync(make([]byte, fileSize+block)); err == nil {
		t.Error("a batch longer than the file was written")
	}
}

func TestBatchBufferAligned(t *testing.T) {
	var b batchBuffer
	for i := range 3000 {
		b.record(uint32(i), 1, uint64(i), 0, make([]byte, i))
		if start := uintptr(unsafe.Pointer(unsafe.SliceData(b.b))); start%block != 0 || cap(b.b)%block != 0 {
			t.Fatalf("buffer of %d bytes starts at %x and has capacity %d", len(b.b), start, cap(b.b))
		}
	}
}
