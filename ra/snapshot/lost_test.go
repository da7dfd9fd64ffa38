package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// lostIndexes returns which snapshots of a member are lost.
func lostIndexes(t *testing.T, fs vfs.FS, uid ra.UID) []ra.Index {
	t.Helper()
	_, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	var out []ra.Index
	for _, info := range report.Lost {
		if info.UID == uid {
			out = append(out, info.Index)
		}
	}
	return out
}

// I11: a loss that is accepted is that of one member, and what of it lay in quarantine keeps lying there. Checkpoints above
// what is left go there too; those below stay.
func TestAcceptLoss(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := errors.Join(take(s, "a", 20, 500), take(s, "b", 30, 500)); err != nil {
		t.Fatal(err)
	}
	var was [][]byte
	for _, name := range names(t, fs, "snap") {
		fs.Flip("snap/"+name, 100, 4)
		was = append(was, content(t, fs, name))
	}
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil || len(report.Damaged) != 2 || report.Damaged[0].UID != "a" || report.Damaged[1].UID != "b" || len(report.Lost) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	if err := errors.Join(takeCheckpoint(s, "a", 5), takeCheckpoint(s, "a", 7), takeCheckpoint(s, "a", 9)); err != nil {
		t.Fatal(err)
	}
	if info, err := s.AcceptLoss("a", 7); info.Era != 1 || err != nil {
		t.Fatal(err)
	}
	if got := checkpointIndexes(s, "a"); !slices.Equal(got, []ra.Index{5, 7}) {
		t.Errorf("checkpoints at %v are left", got)
	}
	if a, b := lostIndexes(t, fs, "a"), lostIndexes(t, fs, "b"); len(a) > 0 || !slices.Equal(b, []ra.Index{30}) {
		t.Errorf("lost are %v of a and %v of b", a, b)
	}
	away := names(t, fs, "snap/quarantine")
	want := []string{of("a", 20, 3).String() + acceptedSuffix, of("b", 30, 4).String()}
	if len(away) != 3 || !slices.Contains(away, want[0]) || !slices.Contains(away, want[1]) {
		t.Fatalf("in quarantine is %v", away)
	}
	for i, name := range want {
		if string(content(t, fs, "quarantine/"+name)) != string(was[i]) {
			t.Errorf("%s is another file", name)
		}
	}
}

// I11: a snapshot that has decayed goes to quarantine if it is still the member's; it is lost then, unless its file is gone.
func TestCondemn(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := errors.Join(take(s, "a", 10, 500), take(s, "b", 10, 500)); err != nil {
		t.Fatal(err)
	}
	old, _ := s.Newest("a")
	if err := take(s, "a", 20, 500); err != nil {
		t.Fatal(err)
	}
	newest, _ := s.Newest("a")
	if err := s.Condemn(old); !errors.Is(err, ErrNone) {
		t.Errorf("one that was replaced is condemned: %v", err)
	}
	if got, ok := s.Newest("a"); !ok || got != newest {
		t.Errorf("the newest is %+v, %v", got, ok)
	}
	if err := s.Condemn(newest); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Newest("a"); ok {
		t.Errorf("there still is %+v", got)
	}
	if err := s.Condemn(newest); !errors.Is(err, ErrNone) {
		t.Errorf("condemned twice: %v", err)
	}
	b, _ := s.Newest("b")
	if err := fs.Remove("snap/" + b.id().String()); err != nil {
		t.Fatal(err)
	}
	if err := s.Condemn(b); err != nil {
		t.Errorf("whose file is gone: %v", err)
	}
	if _, ok := s.Newest("b"); ok {
		t.Error("b still has one")
	}
	if a, b := lostIndexes(t, fs, "a"), lostIndexes(t, fs, "b"); !slices.Equal(a, []ra.Index{20}) || len(b) > 0 {
		t.Errorf("lost are %v of a and %v of b", a, b)
	}
}

// I11: a snapshot that another disk fault keeps from its quarantine stays in force: nothing is forgotten that still lies there.
func TestCondemnFails(t *testing.T) {
	errs := vfs.NewErrs(vfs.NewMem())
	s := mustOpen(t, errs)
	if err := take(s, "a", 10, 500); err != nil {
		t.Fatal(err)
	}
	info, _ := s.Newest("a")
	errs.Inject(vfs.Fault{Op: vfs.OpRename})
	if err := s.Condemn(info); !errors.Is(err, vfs.ErrInjected) {
		t.Errorf("condemned: %v", err)
	}
	if _, ok := s.Newest("a"); !ok {
		t.Error("it is forgotten")
	}
}

// I11: a file is taken for what its name says only if its content says the same.
func TestWrongName(t *testing.T) {
	made := vfs.NewMem()
	if err := take(mustOpen(t, made), "a", 10, 500); err != nil {
		t.Fatal(err)
	}
	right := of("a", 10, 2)
	for _, wrong := range []id{of("a", 11, 2), of("a", 10, 3)} {
		fs := vfs.NewMem()
		put(t, fs, wrong.String(), content(t, made, right.String()))
		s, report, err := Open(Config{FS: fs, Dir: "snap"})
		if err != nil || len(report.Damaged) != 1 || !slices.Equal(report.Quarantined, []string{wrong.String()}) {
			t.Fatalf("%s: %+v, %v", wrong, report, err)
		}
		if info, ok := s.Newest("a"); ok {
			t.Errorf("%s is taken for %+v", wrong, info)
		}
	}
}

// What stands in the way of a snapshot that is written, left over from an attempt that could not be removed, goes.
func TestLeftOverInTheWay(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	put(t, fs, of("a", 10, 2).String()+tempSuffix, []byte("left over"))
	if err := take(s, "a", 10, 500); err != nil {
		t.Fatal(err)
	}
	if err := verifyAt(s, "a", 10, 500); err != nil {
		t.Error(err)
	}
}

// Names are read if they are exactly what would be written, and whose they could be.
func TestNamesOfFiles(t *testing.T) {
	long := strings.Repeat("u", MaxUIDLen)
	for name, want := range map[string]bool{
		of(ra.UID(long), 1, 0).String():                                    true,
		of(ra.UID(long+"u"), 1, 0).String():                                false,
		of("a", 0, 1).String():                                             false,
		of("", 1, 1).String():                                              false,
		of("a", 1<<63, 1<<63).String():                                     true,
		"a.000000000000000G.0000000000000001.snap":                         false,
		"a.0000000000000001.000000000000000G.snap":                         false,
		"a.0000000000000001.0000000000000001":                              false,
		id{uid: ra.UID(long), index: 1, era: 1<<32 - 1}.String():           true,
		id{uid: "a", index: 1, term: 1, era: 1, checkpoint: true}.String(): true,
		"a.0000000000000001.0000000000000001.00000000.snap":                false,
		"a.0000000000000001.0000000000000001.0000000G.snap":                false,
		"a.0000000000000001.00000001.snap":                                 false,
		".00000001.snap":                                                   false,
	} {
		if _, ok := parseName(name); ok != want {
			t.Errorf("%.60s: %v", name, ok)
		}
		for _, behind := range []string{"", ".1", ".12"} {
			if _, ok := parseQuarantined(name + behind); ok != want {
				t.Errorf("%.60s%s in quarantine: %v", name, behind, ok)
			}
		}
	}
	for _, name := range []string{of("a", 1, 1).String() + acceptedSuffix, of("a", 1, 1).String() + "x", fmt.Sprint(snapSuffix)} {
		if _, ok := parseQuarantined(name); ok {
			t.Errorf("%s in quarantine", name)
		}
	}
}
