package etcdhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"
)

const (
	// block is what O_DIRECT wants offsets, lengths and addresses to be multiples of.
	block = 4096
	// fileSize is the length of a node's log file, written in full before it is used and recycled by wrapping round. It
	// is the most that one batch may hold.
	fileSize = 128 << 20
	// zeroChunk is how much of the file one write fills while it is prepared.
	zeroChunk = 1 << 20
)

// Records in the log file, little endian: a header of headerLen bytes and the data. The checksum covers all that
// follows it.
//
//	offset  size
//	0       4     CRC-32C
//	4       4     length of the data
//	8       4     cluster
//	12      8     term
//	20      8     index of the entry, or the vote of a hard state
//	28      1     type: that of the entry, or typeHardState
//	29      n     data
const (
	headerLen     = 29
	typeHardState = 0xff
	typeSnapshot  = 0xfe
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// file is a node's preallocated log file. It writes each batch behind the one before, at the next block, and starts
// again at the front when the end is reached. It is not safe for concurrent use.
type file struct {
	f      *os.File
	fd     int
	offset int64
}

// createFile makes a log file in dir whose blocks have all been written, so that no later sync has to change the file's
// metadata, and opens it past the page cache if direct is wanted
// and the file system can do that.
func createFile(dir string, direct bool) (*file, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "wal")
	if err := zeroFile(path); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	f, err := openFile(path, direct)
	if err != nil {
		return nil, err
	}
	return &file{f: f, fd: int(f.Fd())}, nil
}

// openFile opens the log for writing, through the page cache if that is wanted or nothing else is possible here.
func openFile(path string, direct bool) (*os.File, error) {
	if direct {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_DIRECT, 0)
		if !errors.Is(err, syscall.EINVAL) {
			return f, err
		}
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}

// zeroFile writes fileSize zeros to path, durably, and drops them from the page cache.
func zeroFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	zeros := make([]byte, zeroChunk)
	for offset := int64(0); offset < fileSize; offset += zeroChunk {
		if _, err := f.WriteAt(zeros, offset); err != nil {
			return err
		}
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeSync makes a batch durable: one write and one fdatasync. buf must come from a batchBuffer; what lies between its
// end and the end of its block is written too.
func (f *file) writeSync(buf []byte) error {
	padded := buf[:roundUp(len(buf))]
	clear(padded[len(buf):])
	if len(padded) > fileSize {
		return fmt.Errorf("etcdhost: batch of %d bytes exceeds the log file", len(buf))
	}
	if f.offset+int64(len(padded)) > fileSize {
		f.offset = 0
	}
	for len(padded) > 0 {
		n, err := unix.Pwrite(f.fd, padded, f.offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("etcdhost: write log: %w", err)
		}
		padded = padded[n:]
		f.offset += int64(n)
	}
	if err := unix.Fdatasync(f.fd); err != nil {
		return fmt.Errorf("etcdhost: sync log: %w", err)
	}
	return nil
}

func (f *file) close() error { return f.f.Close() }

func roundUp(n int) int { return (n + block - 1) &^ (block - 1) }

// batchBuffer collects records in memory that O_DIRECT can write from: it starts at a block, and its capacity is a
// multiple of a block.
type batchBuffer struct {
	b []byte
}

// grow makes room for n more bytes.
func (w *batchBuffer) grow(n int) {
	if need := roundUp(len(w.b) + n); need > cap(w.b) {
		bigger := alignedBuffer(max(need, 2*cap(w.b), 1<<18))
		w.b = append(bigger, w.b...)
	}
}

// alignedBuffer returns an empty slice of capacity n, a multiple of block, that starts at a block.
func alignedBuffer(n int) []byte {
	raw := make([]byte, n+block)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(raw)))) & (block - 1)
	return raw[skip : skip : skip+n]
}

// entries appends a record for each entry.
func (w *batchBuffer) entries(cluster uint32, entries []*raftpb.Entry) {
	for _, e := range entries {
		w.record(cluster, e.GetTerm(), e.GetIndex(), byte(e.GetType()), e.GetData())
	}
}

// record appends one record.
func (w *batchBuffer) record(cluster uint32, term, index uint64, kind byte, data []byte) {
	w.grow(headerLen + len(data))
	start := len(w.b)
	r := w.b[start : start+headerLen+len(data)]
	binary.LittleEndian.PutUint32(r[4:], uint32(len(data)))
	binary.LittleEndian.PutUint32(r[8:], cluster)
	binary.LittleEndian.PutUint64(r[12:], term)
	binary.LittleEndian.PutUint64(r[20:], index)
	r[28] = kind
	copy(r[headerLen:], data)
	binary.LittleEndian.PutUint32(r, crc32.Checksum(r[4:], castagnoli))
	w.b = w.b[:start+len(r)]
}
