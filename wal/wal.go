// Package wal is the log that all members of a node share: one write and one sync for the orders of many members.
//
// A Log is a plain object: it starts no goroutine and reads no clock. Members' orders are collected in a Batch, which
// Commit makes durable; then the members are told (Batch.Acks). Files are laid out as docs/FORMAT.md says. When a file
// is full the log goes on in the next one, and the full one waits in Closed until its entries are elsewhere and it is
// handed back with Release.
//
// This package makes no compatibility promise for its Go API; it does for its files.
package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var (
	// ErrOrder says that a member's order does not follow its order before: a mistake in the member, which must stop.
	ErrOrder = errors.New("wal: order out of sequence")

	// errVersion says that a file was written in a format that this program does not know.
	errVersion = errors.New("wal: unknown format version")

	// errUnreadable says that the disk refused to read a part of a file.
	errUnreadable = errors.New("wal: cannot be read")
)

// Config says where a log lives and how large its parts are. The zero value of everything but FS is usable.
type Config struct {
	// FS is the file system, and Dir the log's directory there; "" is the root. The log owns the directory.
	FS  vfs.FS
	Dir string
	// FileSize is the size of a WAL file in bytes, 64 MiB if 0, at least MinFileSize. What a file holds is in memory too
	// until it is in segments, and is read at a restart, and at any time there are two or three files: 64 MiB keeps both
	// short, and at full speed there is still only a handful of roll-overs a second, of about a millisecond each.
	FileSize int64
	// FirstFile is after how many bytes the log goes on from its first file after Open to the next one; 0: when that is
	// full, as all others. Nodes that have the same to write, as replicas do, and draw it at random do not fill their files,
	// and flush them into segments, all at the same moment (WAL-05).
	FirstFile int64
	// MaxBatch bounds the bytes in one batch, a quarter of FileSize if 0: when it is reached Append answers
	// ra.ErrOverloaded. One order may exceed it.
	MaxBatch int
	// Spares is how many zeroed or recycled files are kept ready at most, 2 if 0.
	Spares int
	// Buffered goes through the page cache even where direct I/O is possible.
	Buffered bool
	// HighWater is the name of the file outside of Dir that says how far the log has come, so that a log which was set back
	// is found out; see docs/FORMAT.md. "" is none. It must be on FS, and nobody else's.
	HighWater string
	// Check is asked about each registration that recovery finds, if it is not nil, before anything is begun, moved or put right.
	// If it refuses one Open fails with its error: the log is somebody else's, or is not understood.
	Check func(ra.UID, Registration) error
	// Random supplies the random ids of files, crypto/rand if nil. Two files must never get the same id.
	Random io.Reader
}

// MinFileSize is the smallest FileSize.
const MinFileSize = 64 << 10

// emergencyRoom is the part of every file that only batches without entries may use: when the disk is full, votes and
// other small orders go on for a while.
func (c *Config) emergencyRoom() int64 { return min(c.FileSize/8, 1<<20) }

// validate checks the configuration and fills in what was left out.
func (c *Config) validate() error {
	if c.FS == nil {
		return errors.New("wal: Config.FS is missing")
	}
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.HighWater != "" && path.Dir(c.HighWater) == path.Clean(c.Dir) {
		return fmt.Errorf("wal: HighWater %q is in the directory of the log", c.HighWater)
	}
	if c.FileSize == 0 {
		c.FileSize = 64 << 20
	}
	if c.FileSize < MinFileSize || c.FileSize > 1<<40 {
		return fmt.Errorf("wal: FileSize %d is not within %d and 1 TiB", c.FileSize, MinFileSize)
	}
	c.FileSize = c.FileSize &^ (block - 1)
	if c.MaxBatch == 0 {
		c.MaxBatch = int(min(c.FileSize/4, 256<<20))
	}
	if c.Spares == 0 {
		c.Spares = 2
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.MaxBatch < 0 || c.Spares < 0 || c.FirstFile < 0 {
		return errors.New("wal: negative limit in Config")
	}
	return nil
}

// Log is the write-ahead log of one node. Commit, Note, Seal and Close belong to one goroutine at a time; the other methods
// may be called by any goroutine at any time.
type Log struct {
	cfg  Config
	lock io.Closer

	// The committing goroutine's own.
	cur  *file
	next uint64 // sequence number of the next batch
	err  error  // set once the storage has failed for good
	seal *Batch
	// sealed: the last batch in cur is a seal.
	sealed bool
	id     uint64 // of the log
	gauge  gauge
	// firstEnd is where the first file shall end; 0: it is over, or may be used to its end.
	firstEnd int64

	spares spares
	room   room
	salt   atomic.Uint32

	mu      sync.Mutex // guards all below; held for moments only
	batches []*Batch
	closed  []*Closed
	writers map[ra.UID]*Writer
	settled uint64     // all batches with lower numbers are accounted for in the writers
	current fileHeader // of the file that is being written

	release   sync.Mutex // held while the state file is written, which may take long; guards all below
	states    states
	lingering []*Closed // released, but needed if the newest state file should be damaged
	// unaccounted: nobody has accepted yet what is lost of nobody knows whom. over: the log is closed, or about to be.
	unaccounted, over bool
}

// nextSalt returns a salt that no batch had for a long time: the step is odd, so that all numbers come before one repeats.
func (l *Log) nextSalt() uint32 { return l.salt.Add(0x9e3779b1) }

// random returns a random number for ids.
func (l *Log) random() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(l.cfg.Random, b[:]); err != nil {
		return 0, fmt.Errorf("wal: random id: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
