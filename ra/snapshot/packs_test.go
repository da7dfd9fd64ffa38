package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// packsOf returns the names of the packs.
func packsOf(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, fs, "snap"), func(name string) bool { return !strings.HasSuffix(name, packSuffix) })
}

// many returns n uids.
func many(n int) []ra.UID {
	out := make([]ra.UID, n)
	for i := range out {
		out[i] = ra.UID(fmt.Sprintf("m%03d", i))
	}
	return out
}

// SNAP-05: what is still needed of a pack of which little is needed is taken along, as it was, and the pack goes.
func TestPackIsCarriedOver(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	all := many(10)
	mustPack(t, s, 10, all...)
	mustPack(t, s, 20, all[:4]...)
	if got := packsOf(t, fs); len(got) != 2 {
		t.Fatalf("a pack of which most is needed is written anew: %v", got)
	}
	mustPack(t, s, 30, all[2:8]...)
	for _, s := range []*Store{s, mustOpen(t, fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1))))} {
		for i, uid := range all {
			index := ra.Index(10)
			switch {
			case i >= 2 && i < 8:
				index = 30
			case i < 2:
				index = 20
			}
			mustHave(t, s, uid, index, 100)
		}
	}
	// Of the second pack one half was needed still; the first one had little else.
	if got := packsOf(t, fs); len(got) != 2 || got[0] != packName(2) {
		t.Errorf("files %v", got)
	}
	mustPack(t, s, 40, all...)
	if got := names(t, fs, "snap"); len(got) != 1 {
		t.Errorf("files %v when one pack has all", got)
	}
}

// However many packs there are of which all is needed, their number is bounded.
func TestPacksAreJoined(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	all := many(3 * maxPacks)
	for _, uid := range all {
		mustPack(t, s, 10, uid)
		if got := packsOf(t, fs); len(got) > maxPacks+1 {
			t.Fatalf("%d packs", len(got))
		}
	}
	for _, s := range []*Store{s, mustOpen(t, fs)} {
		for _, uid := range all {
			mustHave(t, s, uid, 10, 100)
		}
	}
}

// What came into place while a pack was written stays there, and so does what came before: the pack's is older.
func TestPackComesLate(t *testing.T) {
	fs := vfs.NewMem()
	errs := vfs.NewErrs(fs)
	s := mustOpen(t, errs)
	mustPack(t, s, 10, "a", "b", "c", "d") // of which little is left, so that it is carried over with the next
	errs.Judge(func(op vfs.Op, _ string) *vfs.Fault {
		if op == vfs.OpSync {
			errs.Judge(nil)
			if err := errors.Join(take(s, "a", 20, 100), take(s, "x", 20, 100)); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if in, err := pack(s, 15, "x", "b", "c", "d"); err != nil || len(in) != 3 || in[0].UID != "b" || in[2].UID != "d" {
		t.Fatal(in, err)
	}
	if !slices.ContainsFunc(rowsOf(t, fs, 2), func(r packRow) bool { return r.id.uid == "a" && r.id.index == 10 }) {
		t.Fatal("what came first was not carried over")
	}
	for _, s := range []*Store{s, mustOpen(t, fs)} {
		for uid, index := range map[ra.UID]ra.Index{"a": 20, "b": 15, "c": 15, "d": 15, "x": 20} {
			mustHave(t, s, uid, index, 100)
		}
	}
}

// A reader, and who sends to a peer, go on when the pack goes.
func TestReaderOutlivesPack(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 10, "a", "b")
	src, err := s.OpenSource("a", 100)
	if err != nil {
		t.Fatal(err)
	}
	mustPack(t, s, 20, "a", "b")
	peer := mustOpen(t, vfs.NewMem())
	r, err := peer.Receive("p", 10, src.Meta().Term)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint32(1); n <= src.Chunks(); n++ {
		data, _, err := src.ReadChunk(n)
		if err = errors.Join(err, r.Add(n, data)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	mustHave(t, peer, "p", 10, 100)
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
}

// I12: after Remove and Sweep nothing of a member is left, whatever fails on the way, and no crash brings it back; what
// others have in the same packs is there.
func TestSweepLeavesNothing(t *testing.T) {
	for _, times := range []int{1, 2} {
		for n := 0; ; n++ {
			fs := vfs.NewMem()
			errs := vfs.NewErrs(fs)
			s := mustOpen(t, errs)
			mustPack(t, s, 10, "a", "b")
			mustPack(t, s, 20, "a", "c", "d", "e")
			fault := vfs.Fault{After: n, Times: times, Short: true}
			errs.Inject(fault)
			failed := errors.Join(s.Remove("a"), s.Sweep())
			errs.Heal()
			if err := errors.Join(s.Remove("a"), s.Sweep()); err != nil {
				t.Fatal(err)
			}
			for model := range vfs.CrashModels {
				left := mustOpen(t, fs.Crash(model, rand.New(rand.NewPCG(uint64(n), 3))))
				if got := left.UIDs(); !slices.Equal(got, []ra.UID{"b", "c", "d", "e"}) {
					t.Fatalf("error %d (%v), then crash (%s): %v", n, failed, model, got)
				}
				mustHave(t, left, "b", 10, 100)
				mustHave(t, left, "c", 20, 100)
			}
			for _, name := range packsOf(t, fs) {
				if rows, _, err := readPack(open(t, fs, name), mustNumber(t, name)); err != nil || newPackFile(rows).has("a") {
					t.Fatalf("error %d: %s has %v, %v", n, name, rows, err)
				}
			}
			if failed == nil {
				if errs.Struck() > 0 {
					continue // it was an operation that is done again, or need not succeed
				}
				break
			}
		}
	}
}

func open(t testing.TB, fs vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fs.Open("snap/"+name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustNumber(t testing.TB, name string) uint64 {
	t.Helper()
	number, ok := parsePackName(name)
	if !ok {
		t.Fatalf("%s is no pack", name)
	}
	return number
}

// A pack whose name could not be made durable does no harm, and is gone with the next one; what is left of members in it
// that are removed, too.
func TestPackIsNotDurable(t *testing.T) {
	fs := vfs.NewMem()
	errs := vfs.NewErrs(fs)
	s := mustOpen(t, errs)
	mustPack(t, s, 10, "a", "b")
	for _, also := range []bool{false, true} {
		errs.Inject(vfs.Fault{Op: vfs.OpSyncDir, Times: 1})
		if also {
			errs.Inject(vfs.Fault{Op: vfs.OpRemove, Times: 1})
		}
		if in, err := pack(s, 20, "a", "b", "c"); !errors.Is(err, vfs.ErrInjected) || len(in) > 0 {
			t.Fatal(in, err)
		}
		errs.Heal()
		if got := len(packsOf(t, fs)); got != 1 && !also || got != 2 && also {
			t.Errorf("%d files", got)
		}
		mustHave(t, s, "a", 10, 100)
		if _, ok := s.Newest("c"); ok {
			t.Error("it is in force")
		}
	}
	if err := errors.Join(s.Remove("c"), s.Sweep()); err != nil {
		t.Fatal(err)
	}
	mustHave(t, mustOpen(t, fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1)))), "b", 10, 100)
	if got := packsOf(t, fs); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
}

// A disk that is full keeps what it has, and packs that are not needed make room.
func TestPackOnAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 10, "a", "b")
	fs.SetCapacity(fs.Used() + 100)
	if _, err := pack(s, 20, "a", "b"); err == nil {
		t.Fatal("there was room")
	}
	if got := names(t, fs, "snap"); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
	if err := errors.Join(s.Remove("a"), s.Remove("b"), s.Sweep()); err != nil || fs.Used() > 0 {
		t.Fatalf("what is not needed goes without room: %v, %v", err, names(t, fs, "snap"))
	}
	mustPack(t, mustOpen(t, fs), 20, "c")
}

// The number of a new pack is not that of another one, whatever numbers foreign ones have.
func TestPackNumbers(t *testing.T) {
	const last = ^uint64(0)
	fs := vfs.NewMem()
	one := vfs.NewMem()
	mustPack(t, mustOpen(t, one), 10, "a")
	rows, _, err := readPack(open(t, one, packName(1)), 1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := readPart(open(t, one, packName(1)), rows[0].off, int(rows[0].size))
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint64{1, last} {
		rows[0].id.uid = ra.UID(fmt.Sprintf("u%d", number))
		put(t, fs, packName(number), encodePack(number, rows, func(int) []byte { return body }))
	}
	put(t, fs, packName(last-1), []byte("no pack"))
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil || !slices.Equal(report.Quarantined, []string{packName(last - 1)}) {
		t.Fatal(report, err)
	}
	mustPack(t, s, 20, "b")
	if got := packsOf(t, fs); !slices.Equal(got, []string{packName(1), packName(2), packName(last)}) {
		t.Errorf("packs %v", got)
	}
	mustHave(t, mustOpen(t, fs), "b", 20, 100)
}
