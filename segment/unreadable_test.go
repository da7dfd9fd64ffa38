package segment

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var errSector = errors.New("the disk cannot read this sector")

// badSector is a file system that cannot read one block of its files; with all set, none of them.
type badSector struct {
	vfs.FS
	block int64
	all   bool
}

func (b *badSector) Open(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := b.FS.Open(name, mode)
	if err != nil {
		return nil, err
	}
	return &badFile{f, b}, nil
}

type badFile struct {
	vfs.File
	on *badSector
}

func (f *badFile) ReadAt(b []byte, off int64) (int, error) {
	lo := f.on.block * vfs.BlockSize
	if f.on.all || off < lo+vfs.BlockSize && off+int64(len(b)) > lo {
		return 0, errSector
	}
	return f.File.ReadAt(b, off)
}

// I11, I21: a block of a segment file that the disk cannot read is damage of those whose bytes are in it: what stands twice
// is read from its twin, and the set opens. A disk that can read nothing is no damage.
func TestUnreadableBlock(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 90, term: 1, size: 300}, part{uid: "b", lo: 7, hi: 9, term: 2}, part{uid: "c", lo: 1, hi: 2, term: 4})
	f, err := fs.Open(filePath(segFiles(t, fs)[0]), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	for block := range (size + vfs.BlockSize - 1) / vfs.BlockSize {
		s, report, err := Open(Config{FS: &badSector{FS: fs, block: block}, Dir: "seg"})
		if err != nil {
			t.Errorf("block %d of %d bytes: %v", block, size, err)
			continue
		}
		if uids := s.UIDs(); len(uids) != 3 || len(report.Lost) > 0 {
			t.Errorf("block %d: members %v, lost %v", block, uids, report.Lost)
		}
	}
	if _, _, err := Open(Config{FS: &badSector{FS: fs, all: true}, Dir: "seg"}); !errors.Is(err, errSector) {
		t.Errorf("a disk that reads nothing: %v", err)
	}
}
