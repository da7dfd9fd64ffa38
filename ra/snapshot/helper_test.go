package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// of returns the id of a snapshot of the first era.
func of(uid ra.UID, index ra.Index, term ra.Term) id { return id{uid: uid, index: index, term: term} }

func mustOpen(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Damaged)+len(report.Quarantined) > 0 {
		t.Fatalf("damage in a sound store: %+v", report)
	}
	return s
}

func metaAt(index ra.Index) Meta {
	return Meta{
		Index: index, Term: ra.Term(index/10 + 1), MachineVersion: 3,
		Members: []ra.Member{
			{ID: ra.ServerID{Name: "m1", Node: "n1"}, UID: "uid1"},
			{ID: ra.ServerID{Name: "m2", Node: "n2"}, UID: "uid2", Membership: ra.NonVoter},
		},
		Fields: map[string][]byte{"config-index": {1, 2, 3}, "b": nil, "a": []byte("x")},
	}
}

// stateAt returns n bytes that depend on index, half of them random.
func stateAt(index ra.Index, n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(index), 1))
	b := fmt.Appendf(nil, "state at %d;", index)
	for len(b) < n {
		b = fmt.Appendf(b, "%d,%x;", len(b), rng.Uint32())
	}
	return b[:n]
}

// openCrashing opens a store on a disk that could crash before each of its operations, in any way: check is given what the
// crash would leave.
func openCrashing(t *testing.T, seed uint64, check func(left vfs.FS) error) *Store {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 9))
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	errs.Trace(func(op vfs.Op, name string) {
		model := vfs.CrashModel(rng.IntN(int(vfs.CrashModels)))
		if err := check(mem.Crash(model, rng)); err != nil {
			t.Fatalf("seed %d, crash (%s) before %s %s: %v", seed, model, op, name, err)
		}
	})
	return s
}

// take writes a snapshot.
func take(s *Store, uid ra.UID, index ra.Index, size int) error {
	return write(s.Create, uid, index, size)
}

// write writes what create makes, a snapshot or a checkpoint, in pieces.
func write(create func(ra.UID, Meta) (*Writer, error), uid ra.UID, index ra.Index, size int) error {
	w, err := create(uid, metaAt(index))
	if err != nil {
		return err
	}
	state := stateAt(index, size)
	for len(state) > 0 {
		n := min(len(state), 10_000)
		if _, err := w.Write(state[:n]); err != nil {
			return errors.Join(err, w.Abort())
		}
		state = state[n:]
	}
	_, err = w.Commit()
	return err
}

// verifyAt reads the snapshot of a member and checks that it is that of index.
func verifyAt(s *Store, uid ra.UID, index ra.Index, size int) error {
	r, err := s.OpenReader(uid)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	want := metaAt(index)
	if m := r.Meta(); m.Index != index || m.Term != want.Term || len(m.Members) != 2 || m.Members[1] != want.Members[1] ||
		m.MachineVersion != 3 || !bytes.Equal(m.Fields["config-index"], []byte{1, 2, 3}) || len(m.Fields) != 3 {
		return fmt.Errorf("meta is %+v", m)
	}
	if !bytes.Equal(got, stateAt(index, size)) {
		return fmt.Errorf("state of %d bytes is not that of index %d", len(got), index)
	}
	return nil
}

func names(t testing.TB, fs vfs.FS, dir string) []string {
	t.Helper()
	out, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t testing.TB, fs vfs.FS, name string, content []byte) {
	t.Helper()
	if err := fs.MkdirAll("snap"); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("snap/"+name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), fs.SyncDir("snap")); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open("snap/"+name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b, err := readPart(f, 0, int(size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
