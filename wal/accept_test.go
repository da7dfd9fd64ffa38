package wal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// ruin is a damage with which members may be gone without a trace, and the log that it happens to.
type ruin struct {
	name string
	cfg  Config
	disk *vfs.Mem
	rng  *rand.Rand
}

// ruins makes every kind of damage in logs of four files, in each of which another member was registered: without a state file, and
// with one that was written when a further file was begun, or in the middle of the newest, also with files before that which are not
// released.
func ruins(t *testing.T) []ruin {
	t.Helper()
	var out []ruin
	const backlog = 5
	for released := range backlog + 1 {
		sound := vfs.NewMem()
		m := newModel(t, sound, 9)
		m.cfg.FileSize = 2 * MinFileSize
		m.open()
		for i := range 4 {
			if i > 0 {
				m.try(func() error { return m.log.roll(block) })
			}
			for k := range 20 {
				if k == 1 {
					m.register(ra.UID(fmt.Sprint("u", i)))
				} else if i > 0 || k > 1 {
					m.add(m.names[k%len(m.names)], 1, 0, 1, 10)
				}
				m.commit()
				if k == 10 && (released == backlog && i == 3 || released < backlog && i > 0 && i < released) {
					m.release()
				}
			}
		}
		if m.err != nil || m.log.current.seq != 4 {
			t.Fatal(m.log.current.seq, m.err)
		}
		for what, do := range ruinations {
			r := ruin{fmt.Sprintf("%s, %d released, backlog %v", what, m.log.states.released, released == backlog), m.cfg, sound.Crash(vfs.CrashKept, m.rng), m.rng}
			do(t, r.disk)
			r.cfg.FS = r.disk.Crash(vfs.CrashKept, r.rng)
			if l, found := r.open(t); found.Unaccounted {
				out = append(out, r)
				_ = l.Close() // of another life, on another disk
			} else if released == 0 {
				t.Errorf("%s: %+v", r.name, found)
			}
		}
	}
	return out
}

// ruinations are the damages.
var ruinations = map[string]func(*testing.T, *vfs.Mem){
	"all is gone but the mark": func(t *testing.T, d *vfs.Mem) {
		names, err := d.List("wal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			remove(t, d, "wal/"+name)
		}
	},
	"the oldest file is missing": func(t *testing.T, d *vfs.Mem) { remove(t, d, walFiles(t, d)[0]) },
	"the third file is missing":  func(t *testing.T, d *vfs.Mem) { remove(t, d, "wal/"+fileName(3)) },
	"the newest file is missing": func(t *testing.T, d *vfs.Mem) { remove(t, d, "wal/"+fileName(4)) },
	"a header is zero":           func(t *testing.T, d *vfs.Mem) { overwrite(t, d, "wal/"+fileName(3), 0, headerSize, false, nil) },
	"the newest header is zero":  func(t *testing.T, d *vfs.Mem) { overwrite(t, d, "wal/"+fileName(4), 0, headerSize, false, nil) },
	"the end of a file is zero": func(t *testing.T, d *vfs.Mem) {
		overwrite(t, d, "wal/"+fileName(3), headerSize, 2*MinFileSize-headerSize, false, nil)
	},
	"the middle of the newest is zero": func(t *testing.T, d *vfs.Mem) {
		overwrite(t, d, "wal/"+fileName(4), headerSize, 18*block, false, nil)
	},
	"the newest is short": func(_ *testing.T, d *vfs.Mem) { d.Cut("wal/"+fileName(4), headerSize) },
}

// open opens the log.
func (r *ruin) open(t *testing.T) (*Log, *Recovery) {
	t.Helper()
	l, out, err := Open(r.cfg)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	return l, out
}

// standing is what a member is.
type standing struct {
	seq  uint64
	last ra.Index
	mark Mark
}

// standings returns what all members are.
func standings(out *Recovery) map[ra.UID]standing {
	all := make(map[ra.UID]standing)
	for _, m := range out.Members {
		all[m.Writer.UID()] = standing{m.Writer.Seq(), m.Writer.Last(), m.Mark}
	}
	return all
}

// compare checks that all members are what they were.
func (r *ruin) compare(t *testing.T, what string, want map[ra.UID]standing, out *Recovery) {
	t.Helper()
	if got := standings(out); !maps.Equal(got, want) || len(out.Deleted) > 0 {
		t.Errorf("%s: %s: members are %v, should be %v, deleted %v", r.name, what, got, want, out.Deleted)
	}
}

// live has all members go on, those that are marked behind what is left of them, and a further one begin.
func (r *ruin) live(t *testing.T, l *Log, out *Recovery, newcomer ra.UID) map[ra.UID]standing {
	t.Helper()
	b, all := l.NewBatch(), make(map[ra.UID]standing)
	order := func(w *Writer, op Op) {
		op.Seq = w.Seq() + 1
		if err := b.Append(w, &op); err != nil {
			t.Fatal(err)
		}
		all[w.UID()] = standing{seq: w.Seq(), last: w.Last()}
	}
	for _, m := range out.Members {
		w := m.Writer
		if m.Mark.What != 0 {
			reg := Registration{Name: string(w.UID())}
			order(w, Op{Register: &reg, State: &ra.HardState{Term: 9}, Repaired: true})
		}
		order(w, Op{Entries: []ra.Entry{entry(w.Last()+1, 9, 10)}})
	}
	w, err := l.Writer(newcomer)
	if err != nil {
		t.Fatal(err)
	}
	order(w, Op{Register: &Registration{Name: string(newcomer)}})
	if err := l.Commit(b); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAcceptedIsSettled accepts that members may be gone. No later start comes back to it, whatever happened between, and all members
// stay what they are (I11, I12; F10).
func TestAcceptedIsSettled(t *testing.T) {
	for _, r := range ruins(t) {
		for model := range vfs.CrashPrefix {
			for _, work := range []bool{false, true} {
				r.cfg.FS = r.disk.Crash(vfs.CrashKept, r.rng)
				l, out := r.open(t)
				want := standings(out)
				if err := l.AcceptUnaccounted(); err != nil {
					t.Fatal(err)
				}
				for start := range 4 {
					if work {
						want = r.live(t, l, out, ra.UID(fmt.Sprint("v", start)))
					}
					if c := l.Closed(); work && start > 1 && len(c) > 0 {
						if err := l.Release(c[0]); err != nil {
							t.Fatal(err)
						}
					}
					r.cfg.FS = r.cfg.FS.(*vfs.Mem).Crash(model, r.rng)
					_ = l.Close() // of another life, on another disk
					what := fmt.Sprintf("%v, work %v, start %d", model, work, start)
					l, out = r.open(t)
					r.compare(t, what, want, out)
					front := strings.HasPrefix(r.name, "the oldest") || strings.HasPrefix(r.name, "all")
					if out.Unaccounted || front && len(out.Losses) > 0 {
						t.Errorf("%s: %s: %+v", r.name, what, out.Losses)
					}
				}
			}
		}
	}
}

// TestAcceptanceCutShort crashes at every operation of the acceptance: it has happened or not, and in either case no member is
// another one (I12; F3).
func TestAcceptanceCutShort(t *testing.T) {
	for _, r := range ruins(t) {
		cut := 0
		for at, done := 0, false; !done; at++ {
			for model := range vfs.CrashPrefix {
				disk := r.disk.Crash(vfs.CrashKept, r.rng)
				faulty := vfs.NewErrs(disk)
				r.cfg.FS = faulty
				l, out := r.open(t)
				want := standings(out)
				faulty.Inject(vfs.Fault{After: at, Err: errCrash})
				done = l.AcceptUnaccounted() == nil
				if !done {
					cut++
				}
				what := fmt.Sprintf("cut short at operation %d, %v", at, model)
				for range 2 {
					disk = disk.Crash(model, r.rng)
					r.cfg.FS = disk
					l, out = r.open(t)
					r.compare(t, what, want, out)
					if done && out.Unaccounted {
						t.Errorf("%s: %s: accepted, and back", r.name, what)
					}
				}
				if err := l.AcceptUnaccounted(); err != nil {
					t.Fatal(err)
				}
				r.cfg.FS = disk.Crash(model, r.rng)
				if _, out = r.open(t); out.Unaccounted {
					t.Errorf("%s: %s: accepted again, and back", r.name, what)
				}
				r.compare(t, what, want, out)
			}
		}
		if cut < 10 {
			t.Errorf("%s: only %d were cut short", r.name, cut)
		}
	}
}

// TestLostSinceAccepted damages more behind an acceptance. Who was there by then is not gone with it; who came later may be, and
// that is known. So may be whoever there was if the state file is lost, too (I11, I12; F10).
func TestLostSinceAccepted(t *testing.T) {
	for _, r := range ruins(t) {
		r.cfg.FS = r.disk.Crash(vfs.CrashKept, r.rng)
		l, out := r.open(t)
		if err := l.AcceptUnaccounted(); err != nil {
			t.Fatal(err)
		}
		want := standings(out)
		r.live(t, l, out, "later")
		current := "wal/" + fileName(l.current.seq)
		disk := r.cfg.FS.(*vfs.Mem)
		for _, what := range []string{"older", "newer", "state"} {
			hurt := disk.Crash(vfs.CrashKept, r.rng)
			switch what {
			case "older":
				for _, name := range walFiles(t, hurt) {
					if name != current {
						remove(t, hurt, name)
					}
				}
			case "newer":
				overwrite(t, hurt, current, 0, headerSize, false, r.rng)
			case "state":
				overwrite(t, hurt, current, 0, headerSize, false, r.rng)
				remove(t, hurt, "wal/"+stateName(l.states.gen))
			}
			r.cfg.FS = hurt
			_, out = r.open(t)
			if out.Unaccounted != (what != "older") {
				t.Errorf("%s: %s lost: %+v", r.name, what, out)
			}
			for uid := range want {
				if _, ok := standings(out)[uid]; !ok && what != "state" {
					t.Errorf("%s: %s lost: %s is gone", r.name, what, uid)
				}
			}
		}
	}
}

// TestAcceptedOnAFullDisk accepts when there is no space, which changes nothing, and once there is (F7).
func TestAcceptedOnAFullDisk(t *testing.T) {
	for _, r := range ruins(t) {
		disk := r.disk.Crash(vfs.CrashKept, r.rng)
		r.cfg.FS = disk
		l, _ := r.open(t)
		gen := l.states.gen
		disk.SetCapacity(1)
		err := l.AcceptUnaccounted()
		if names, _ := disk.List("wal"); !errors.Is(err, ra.ErrDiskFull) || !slices.Contains(names, lostName) {
			t.Errorf("%s: on a full disk: %v, there are %v", r.name, err, names)
		}
		disk.SetCapacity(0)
		for range 2 { // the second one has nothing to do
			if err := l.AcceptUnaccounted(); err != nil {
				t.Fatal(err)
			}
		}
		if l.states.gen != gen+1 {
			t.Errorf("%s: %d state files were written", r.name, l.states.gen-gen)
		}
	}
}

// TestNothingBehindClose: a log that is closed changes nothing any more in a directory that may be another one's (I10).
func TestNothingBehindClose(t *testing.T) {
	for _, r := range ruins(t) {
		disk := r.disk.Crash(vfs.CrashKept, r.rng)
		r.cfg.FS = disk
		l, _ := r.open(t)
		closed := l.Closed()
		var group sync.WaitGroup
		group.Go(func() {
			if err := l.AcceptUnaccounted(); err != nil && !errors.Is(err, ra.ErrClosed) {
				t.Errorf("%s: accepted beside Close: %v", r.name, err)
			}
		})
		for _, c := range closed {
			group.Go(func() {
				if err := l.Release(c); err != nil && !errors.Is(err, ra.ErrClosed) {
					t.Errorf("%s: released beside Close: %v", r.name, err)
				}
			})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		before, _ := disk.List("wal")
		group.Wait()
		l.unaccounted = true
		if err := l.AcceptUnaccounted(); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("%s: accepted behind Close: %v", r.name, err)
		}
		for _, c := range closed {
			if err := l.Release(c); !errors.Is(err, ra.ErrClosed) {
				t.Errorf("%s: released behind Close: %v", r.name, err)
			}
		}
		l.MakeRoom()
		if after, _ := disk.List("wal"); !slices.Equal(before, after) {
			t.Errorf("%s: the log had %v, has %v", r.name, strings.Join(before, " "), strings.Join(after, " "))
		}
	}
}
