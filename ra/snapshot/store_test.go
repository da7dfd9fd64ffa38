package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// SNAP-03, SNAP-05: what was written is there, also after a restart; a newer snapshot takes the place of the older one.
func TestRoundTrip(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	for i, size := range []int{0, 1, 1000, 5 << 20} {
		index := ra.Index(10 * (i + 1))
		if err := take(s, "a", index, size); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := verifyAt(s, "a", index, size); err != nil {
				t.Fatalf("state of %d bytes: %v", size, err)
			}
			if info, ok := s.Newest("a"); !ok || info.Index != index || info.State != int64(size) {
				t.Fatalf("newest is %+v", info)
			}
			if left := names(t, fs, "snap"); len(left) != 1 {
				t.Fatalf("files %v", left)
			}
			s = mustOpen(t, fs)
		}
	}
	if _, err := s.OpenReader("b"); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
}

// Many times the decoder's window goes through it.
func TestLargeStateInBoundedMemory(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	w, err := s.Create("a", metaAt(5))
	if err != nil {
		t.Fatal(err)
	}
	piece := stateAt(5, 1<<20)
	for range 40 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader("a")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 40<<20 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReaderBounds(t *testing.T) {
	fs := vfs.NewMem()
	if err := take(mustOpen(t, fs), "a", 5, 1000); err != nil {
		t.Fatal(err)
	}
	s, _, err := Open(Config{FS: fs, Dir: "snap", MaxState: 999})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenReader("a"); !errors.Is(err, ra.ErrTooLarge) {
		t.Fatal(err)
	}
}

// SNAP-06: an aborted snapshot leaves nothing, and the one before is in place.
func TestAbort(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := take(s, "a", 5, 100); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create("a", metaAt(9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create("a", metaAt(9)); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Abort(), w.Abort()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("more")); !errors.Is(err, ra.ErrClosed) {
		t.Fatal(err)
	}
	if left := names(t, fs, "snap"); len(left) != 1 {
		t.Fatalf("files %v", left)
	}
	if err := verifyAt(s, "a", 5, 100); err != nil {
		t.Fatal(err)
	}
	if err := take(s, "a", 9, 100); err != nil {
		t.Fatal(err)
	}
}

// SNAP-05: a snapshot that is finished after a newer one came is dropped, not the newer one.
func TestLateSnapshotIsDropped(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	w, err := s.Create("a", metaAt(5))
	if err != nil {
		t.Fatal(err)
	}
	if err := take(s, "a", 8, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); !errors.Is(err, ErrStale) {
		t.Fatal(err)
	}
	if err := verifyAt(s, "a", 8, 100); err != nil || len(names(t, fs, "snap")) != 1 {
		t.Fatal(err, names(t, fs, "snap"))
	}
}

// A reader reads on when its snapshot is replaced.
func TestReaderOutlivesReplacement(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	if err := take(s, "a", 5, 1<<20); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := take(s, "a", 8, 100); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, stateAt(5, 1<<20)) || r.Size() != 1<<20 {
		t.Fatal(len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRemove(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := errors.Join(take(s, "a", 5, 10), take(s, "b", 5, 10), s.Remove("a"), s.Remove("c")); err != nil {
		t.Fatal(err)
	}
	if got := s.UIDs(); !slices.Equal(got, []ra.UID{"b"}) {
		t.Fatal(got)
	}
	if got := mustOpen(t, fs).UIDs(); !slices.Equal(got, []ra.UID{"b"}) {
		t.Fatal(got)
	}
}

// I12: nothing of a deleted member stays, not even what could not be removed, or not made durable, when it was replaced.
func TestRemoveLeavesNothing(t *testing.T) {
	mem := vfs.NewMem()
	fs := vfs.NewErrs(mem)
	s := mustOpen(t, fs)
	if err := errors.Join(take(s, "a", 5, 10), takeCheckpoint(s, "a", 7)); err != nil {
		t.Fatal(err)
	}
	fs.Inject(vfs.Fault{Op: vfs.OpRemove, Times: 2})
	if err := take(s, "a", 15, 10); err != nil {
		t.Fatal(err)
	}
	fs.Inject(vfs.Fault{Op: vfs.OpSyncDir, Times: 1})
	if err := take(s, "a", 25, 10); err == nil {
		t.Fatal("the sync did not fail")
	}
	if got := names(t, mem, "snap"); len(got) != 4 {
		t.Fatalf("the faults were not met: %q", got)
	}
	fs.Inject(vfs.Fault{Op: vfs.OpRemove, Times: 1})
	if s.Remove("a") == nil {
		t.Fatal("the last fault was not met")
	}
	if err := s.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, mem, "snap"); len(got) > 0 {
		t.Errorf("%q are left", got)
	}
}

// Chunks make the same file on the other side, in whatever order they are read and however often they are sent.
func TestShip(t *testing.T) {
	from, to := vfs.NewMem(), vfs.NewMem()
	s := mustOpen(t, from)
	if err := take(s, "a", 25, 300_000); err != nil {
		t.Fatal(err)
	}
	src, err := s.OpenSource("a", 4096)
	if err != nil {
		t.Fatal(err)
	}
	peer := mustOpen(t, to)
	if err := take(peer, "b", 20, 10); err != nil {
		t.Fatal(err)
	}
	r, err := peer.Receive("b", 25, src.Meta().Term)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		n := r.Next()
		data, last, err := src.ReadChunk(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add(n+1, data); !errors.Is(err, ErrOrder) {
			t.Fatal(err)
		}
		if err := r.Add(n, data); err != nil {
			t.Fatal(err)
		}
		done = last
	}
	info, meta, err := r.Finish()
	if err != nil || info.Index != 25 || meta.Index != 25 {
		t.Fatal(info, meta, err)
	}
	if _, _, err := src.ReadChunk(src.Chunks() + 1); err == nil {
		t.Fatal("read beyond the last chunk")
	}
	if err := errors.Join(src.Close(), r.Abort(), verifyAt(peer, "b", 25, 300_000)); err != nil {
		t.Fatal(err)
	}
	a, b := names(t, from, "snap"), names(t, to, "snap")
	if len(b) != 1 || !bytes.Equal(content(t, from, a[0]), content(t, to, b[0])) {
		t.Fatal("not the same bytes")
	}
}

// What arrives damaged, incomplete, as another snapshot than announced, or too large is refused and leaves nothing.
func TestReceiverRefuses(t *testing.T) {
	from := vfs.NewMem()
	if err := take(mustOpen(t, from), "a", 25, 1000); err != nil {
		t.Fatal(err)
	}
	good := content(t, from, names(t, from, "snap")[0])
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		index ra.Index
		data  []byte
		want  error
	}{
		"flip": {25, flipped, ra.ErrCorrupt}, "short": {25, good[:len(good)-1], ra.ErrCorrupt}, "empty": {25, nil, ra.ErrCorrupt},
		"other index": {26, good, ra.ErrCorrupt}, "long": {25, append(bytes.Clone(good), 0), ra.ErrCorrupt},
		"too large": {25, make([]byte, 5000), ra.ErrTooLarge},
	} {
		fs := vfs.NewMem()
		s, _, err := Open(Config{FS: fs, Dir: "snap", MaxFile: 4000})
		if err != nil {
			t.Fatal(err)
		}
		if err := take(s, "b", 20, 10); err != nil {
			t.Fatal(err)
		}
		r, err := s.Receive("b", c.index, metaAt(25).Term)
		if err != nil {
			t.Fatal(err)
		}
		if err = r.Add(1, c.data); err == nil {
			_, _, err = r.Finish()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(r.Abort(), verifyAt(s, "b", 20, 10)); err != nil || len(names(t, fs, "snap")) != 1 {
			t.Errorf("%s: %v, files %v", name, err, names(t, fs, "snap"))
		}
	}
}

// SNAP-07: a damaged newest snapshot goes to quarantine, an older one that is still there takes its place.
func TestFallback(t *testing.T) {
	fs := vfs.NewMem()
	var newest string
	for _, index := range []ra.Index{5, 17} {
		one := vfs.NewMem()
		if err := take(mustOpen(t, one), "a", index, 500); err != nil {
			t.Fatal(err)
		}
		newest = names(t, one, "snap")[0]
		put(t, fs, newest, content(t, one, newest))
	}
	fs.Flip("snap/"+newest, 100, 4)
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	if d := report.Damaged; len(d) != 1 || d[0].Index != 17 || d[0].Fallback != 5 || !errors.Is(d[0].Cause, ra.ErrCorrupt) {
		t.Fatalf("%+v", report)
	}
	if err := verifyAt(s, "a", 5, 500); err != nil {
		t.Fatal(err)
	}
	if q := names(t, fs, "snap/quarantine"); !slices.Equal(q, []string{newest}) {
		t.Fatal(q)
	}
	mustOpen(t, fs)
}

// I9: a snapshot whose name was not durable yet when its process died is durable from the next Open on, before the one
// before it goes.
func TestOpenedIsDurable(t *testing.T) {
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	if err := take(s, "a", 5, 500); err != nil {
		t.Fatal(err)
	}
	errs.Inject(vfs.Fault{Op: vfs.OpSyncDir, Times: 1})
	if err := take(s, "a", 17, 500); err == nil {
		t.Fatal("a snapshot whose name is not durable counts")
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 6))
		left := mem.Crash(vfs.CrashKept, rng)
		mustOpen(t, left)
		if err := verifyAt(mustOpen(t, left.Crash(vfs.CrashSubset, rng)), "a", 17, 500); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestOpenTidies(t *testing.T) {
	fs := vfs.NewMem()
	n := of("a.b", 7, 9).String()
	for _, name := range []string{n + ".tmp", n + ".recv", n + ".tmp.tmp", "a.7.9.snap", strings.ToLower(of("a", 0xabc, 9).String()), "x"} {
		put(t, fs, name, nil)
	}
	_, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Quarantined) != 4 || len(report.Damaged) != 0 || len(names(t, fs, "snap")) != 1 {
		t.Fatalf("%+v, left %v", report, names(t, fs, "snap"))
	}
}

func TestCreateChecks(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	for name, c := range map[string]struct {
		uid  ra.UID
		meta Meta
	}{
		"no uid": {"", metaAt(1)}, "path": {"../a", metaAt(1)}, "long": {ra.UID(strings.Repeat("u", 201)), metaAt(1)}, "index": {"a", Meta{}},
		"members":    {"a", Meta{Index: 1, Members: make([]ra.Member, MaxMembers+1)}},
		"field name": {"a", Meta{Index: 1, Fields: map[string][]byte{"a b": nil}}},
		"field size": {"a", Meta{Index: 1, Fields: map[string][]byte{"a": make([]byte, MaxMeta)}}},
		"membership": {"a", Meta{Index: 1, Members: []ra.Member{{Membership: 9}}}},
	} {
		if _, err := s.Create(c.uid, c.meta); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, c := range []Config{{}, {FS: vfs.NewMem(), Level: 23}, {FS: vfs.NewMem(), MaxFile: -1}} {
		if _, _, err := Open(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}

// SNAP-01 and the policy for machines that never ask.
func TestPolicy(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		s     State
		index ra.Index
		known bool
		want  bool
	}{
		{State{}, 4096, true, false}, {State{}, 4097, true, true}, {State{}, 4097, false, false},
		{State{Last: 100}, 4196, true, false}, {State{Last: 100}, 4197, true, true},
		{State{Last: 100, FirstSegment: 101}, 101, true, false}, {State{Last: 100, FirstSegment: 101}, 102, true, true},
		{State{Last: 100, FirstSegment: 50}, 100, true, false}, {State{Pending: true}, 9999, true, false},
	} {
		if got := (Policy{}).Accepts(&c.s, c.index, c.known); got != c.want {
			t.Errorf("%+v at %d: accepts %v", c.s, c.index, got)
		}
	}
	for _, c := range []struct {
		s    State
		want bool
	}{
		{State{LogBytes: 64*mib - 1}, false}, {State{LogBytes: 64 * mib}, true}, {State{LogBytes: 64 * mib, Pending: true}, false},
		{State{LogBytes: 80 * mib, LastBytes: 20 * mib}, false}, {State{LogBytes: 80*mib + 1, LastBytes: 20 * mib}, true},
		{State{LogBytes: 64 * mib, Last: 100}, false},
	} {
		if got := (Policy{}).Due(&c.s, 100); got != c.want {
			t.Errorf("%+v: due %v", c.s, got)
		}
	}
	if !(Policy{MinInterval: 1}).Accepts(&State{}, 2, true) || !(Policy{Growth: 1, MinBytes: 1}).Due(&State{LogBytes: 1}, 1) {
		t.Error("configured limits are ignored")
	}
}
