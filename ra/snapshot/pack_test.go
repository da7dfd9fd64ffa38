package snapshot

import (
	"errors"
	"io"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// add adds a snapshot to a pack.
func add(p *Pack, uid ra.UID, index ra.Index, size int) error {
	return p.Add(uid, metaAt(index), 1<<20, func(w io.Writer) error {
		_, err := w.Write(stateAt(index, size))
		return err
	})
}

// pack writes one pack with a snapshot of each member at an index.
func pack(s *Store, index ra.Index, uids ...ra.UID) ([]Info, error) {
	p := s.NewPack()
	for _, uid := range uids {
		if err := add(p, uid, index, 100); err != nil {
			return nil, err
		}
	}
	return p.Commit()
}

func mustPack(t testing.TB, s *Store, index ra.Index, uids ...ra.UID) {
	t.Helper()
	in, err := pack(s, index, uids...)
	if err != nil || len(in) != len(uids) {
		t.Fatalf("in place are %v, %v", in, err)
	}
}

// takePacked is take for a pack, which has a snapshot of the member b too.
func takePacked(s *Store, uid ra.UID, index ra.Index, size int) error {
	p := s.NewPack()
	err := errors.Join(add(p, uid, index, size), add(p, "b", index, size))
	if err != nil {
		return err
	}
	_, err = p.Commit()
	return err
}

func mustHave(t *testing.T, s *Store, uid ra.UID, index ra.Index, size int) {
	t.Helper()
	if err := verifyAt(s, uid, index, size); err != nil {
		t.Fatal(err)
	}
}

// SNAP-02, SNAP-05: snapshots in a pack are snapshots like others: found again, read, replaced, and the pack goes with the
// last of them.
func TestPack(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	in, err := pack(s, 10, "c", "a", "b")
	if err != nil || len(in) != 3 || in[0].UID != "a" || in[2].UID != "c" {
		t.Fatal(in, err)
	}
	for range 2 {
		for _, uid := range []ra.UID{"a", "b", "c"} {
			mustHave(t, s, uid, 10, 100)
		}
		s = mustOpen(t, fs)
	}
	if err := take(s, "a", 20, 100); err != nil {
		t.Fatal(err)
	}
	if in, err := pack(s, 15, "a", "b"); err != nil || len(in) != 1 || in[0].UID != "b" {
		t.Fatal("a newer snapshot has not won:", in, err)
	}
	for range 2 {
		mustHave(t, s, "a", 20, 100)
		mustHave(t, s, "b", 15, 100)
		mustHave(t, s, "c", 10, 100)
		s = mustOpen(t, fs)
	}
	if names, _ := fs.List("snap"); len(names) != 2 {
		t.Fatal("not one pack and one file:", names)
	}
}

// What is not to be in a pack is not, and leaves it as it was: SNAP-06.
func TestPackRefuses(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	p := s.NewPack()
	if err := add(p, "a", 10, 100); err != nil {
		t.Fatal(err)
	}
	fails := errors.New("no state")
	writes := func(n int) func(io.Writer) error {
		return func(w io.Writer) error {
			if n == 0 {
				return fails
			}
			_, err := w.Write(stateAt(3, n))
			return err
		}
	}
	for name, c := range map[string]struct {
		uid   ra.UID
		meta  Meta
		limit int64
		size  int
		want  error
	}{
		"twice": {"a", metaAt(11), 1 << 20, 10, ErrBusy}, "limit": {"b", metaAt(10), 300, 1000, ra.ErrTooLarge},
		"a step of writing": {"b", metaAt(10), 1 << 20, 3 * writeStep, ra.ErrTooLarge}, "state fails": {"b", metaAt(10), 1 << 20, 0, fails},
		"meta":  {"b", Meta{Index: 1, Fields: map[string][]byte{"x": make([]byte, writeStep)}}, 1 << 20, 10, ra.ErrTooLarge},
		"index": {"b", Meta{}, 1 << 20, 10, ra.ErrTooLarge}, "uid": {"../b", metaAt(10), 1 << 20, 10, ra.ErrInvalidName},
	} {
		if err := p.Add(c.uid, c.meta, c.limit, writes(c.size)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := add(p, "c", 10, 100); err != nil {
		t.Fatal(err)
	}
	if in, err := p.Commit(); err != nil || len(in) != 2 {
		t.Fatal(in, err)
	}
	if _, err := p.Commit(); !errors.Is(err, ra.ErrClosed) || !errors.Is(add(p, "d", 10, 100), ra.ErrClosed) {
		t.Errorf("it goes on after Commit: %v", err)
	}
	if in, err := s.NewPack().Commit(); err != nil || len(in) > 0 || len(names(t, fs, "snap")) != 1 {
		t.Errorf("an empty pack: %v, %v, files %v", in, err, names(t, fs, "snap"))
	}
	for _, s := range []*Store{s, mustOpen(t, fs)} {
		mustHave(t, s, "a", 10, 100)
		mustHave(t, s, "c", 10, 100)
	}
}

// A pack is put together in memory, and so are those that are joined.
func TestPackIsFull(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	p := s.NewPack()
	if err := add(p, "a", 10, 100); err != nil {
		t.Fatal(err)
	}
	p.size = maxPacked - p.size + 1
	if err := add(p, "b", 10, 100); !errors.Is(err, ra.ErrTooLarge) {
		t.Fatal(err)
	}
	mustPack(t, s, 10, "c", "d")
	mustPack(t, s, 20, "c")
	if got := s.sparse(p); len(got) > 0 {
		t.Errorf("a full pack takes in %v", got)
	}
}
