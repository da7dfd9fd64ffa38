package segment

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

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
		bad := vfs.NewErrs(fs)
		bad.Inject(vfs.Fault{Op: vfs.OpRead, From: block * vfs.BlockSize, To: (block + 1) * vfs.BlockSize})
		s, report, err := Open(Config{FS: bad, Dir: "seg"})
		if err != nil {
			t.Errorf("block %d of %d bytes: %v", block, size, err)
			continue
		}
		if uids := s.UIDs(); len(uids) != 3 || len(report.Lost) > 0 {
			t.Errorf("block %d: members %v, lost %v", block, uids, report.Lost)
		}
	}
	dead := vfs.NewErrs(fs)
	dead.Inject(vfs.Fault{Op: vfs.OpRead})
	if _, _, err := Open(Config{FS: dead, Dir: "seg"}); !errors.Is(err, vfs.ErrInjected) {
		t.Errorf("a disk that reads nothing: %v", err)
	}
}
