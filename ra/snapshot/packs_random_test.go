package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// packModel is what snapshots there must be, of some members, and which there may be beside these.
type packModel struct {
	has map[ra.UID]ra.Index
	// late are those that were begun and are not in force, of which a start may find one.
	late map[ra.UID][]ra.Index
	// removed are those of which nothing, or anything, may be left: that failed half-way. Of gone ones nothing is.
	removed, gone map[ra.UID]bool
}

// begin notes that snapshots of an index are on their way.
func (m *packModel) begin(index ra.Index, uids []ra.UID) {
	for _, uid := range uids {
		m.late[uid] = append(m.late[uid], index)
		delete(m.gone, uid)
	}
}

// check compares a store that has met no crash.
func (m *packModel) check(s *Store) error {
	for _, uid := range many(6) {
		info, ok := s.Newest(uid)
		if info.Index != m.has[uid] {
			return fmt.Errorf("%s has %d, not %d", uid, info.Index, m.has[uid])
		}
		if !ok || m.removed[uid] {
			continue
		}
		if err := verifyAt(s, uid, info.Index, 100); err != nil {
			return err
		}
	}
	return nil
}

// survives checks what a crash, or a start, leaves.
func (m *packModel) survives(fs vfs.FS) (*Store, error) {
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		return nil, err
	}
	if len(report.Damaged)+len(report.Quarantined) > 0 {
		return nil, fmt.Errorf("%+v", report)
	}
	for _, uid := range many(6) {
		info, ok := s.Newest(uid)
		switch {
		case ok && m.gone[uid]:
			return nil, fmt.Errorf("%s was removed, and has %d", uid, info.Index)
		case m.removed[uid]:
		case info.Index != m.has[uid] && (info.Index < m.has[uid] || !slices.Contains(m.late[uid], info.Index)):
			return nil, fmt.Errorf("%s has %d, not %d or one of %v", uid, info.Index, m.has[uid], m.late[uid])
		}
		if ok && verifyAt(s, uid, info.Index, 100) != nil {
			return nil, fmt.Errorf("%s cannot be read", uid)
		}
	}
	return s, nil
}

// packRun is a run of random orders.
type packRun struct {
	*testing.T
	rng   *rand.Rand
	fs    *vfs.Mem
	errs  *vfs.Errs
	s     *Store
	model packModel
	index ra.Index
}

// step does one thing at random. It returns the error, if one of the disk is expected.
func (r *packRun) step() error {
	r.index++
	all := many(6)
	r.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	switch k := r.rng.IntN(10); {
	case k < 5:
		some := all[:1+r.rng.IntN(len(all))]
		r.model.begin(r.index, some)
		in, err := pack(r.s, r.index, some...)
		if err == nil && len(in) != len(some) {
			err = fmt.Errorf("in place are %v, not %v", in, some)
		}
		return r.took(some, err)
	case k < 8:
		r.model.begin(r.index, all[:1])
		return r.took(all[:1], take(r.s, all[0], r.index, 100))
	default:
		return r.remove(all[0])
	}
}

// took notes what is in force if there was no error.
func (r *packRun) took(uids []ra.UID, err error) error {
	for _, uid := range uids {
		if err == nil {
			r.model.has[uid], r.model.removed[uid] = r.index, false
		}
	}
	return err
}

// remove removes a member, whatever fails, and sweeps.
func (r *packRun) remove(uid ra.UID) error {
	had := r.model.has[uid]
	r.model.removed[uid] = true
	r.model.has[uid] = 0
	err := r.s.Remove(uid)
	if err != nil {
		if _, ok := r.s.Newest(uid); ok {
			r.model.has[uid] = had
		}
	} else if err = r.s.Sweep(); err == nil && !r.s.stained(uid) { // what others have there may pass for decayed
		r.model.gone[uid], r.model.removed[uid] = true, false
		delete(r.model.late, uid)
	}
	return err
}

// I9, I12: whatever orders there are, in whatever fails and at whatever operation a crash comes, each member has its newest
// snapshot, whole, or one that was on its way; and nothing comes back.
func TestPacksAtRandom(t *testing.T) {
	for seed := range uint64(40) {
		r := packRun{T: t, rng: rand.New(rand.NewPCG(seed, 17)), fs: vfs.NewMem()}
		r.errs = vfs.NewErrs(r.fs)
		r.s = mustOpen(t, r.errs)
		r.model = packModel{make(map[ra.UID]ra.Index), make(map[ra.UID][]ra.Index), make(map[ra.UID]bool), make(map[ra.UID]bool)}
		for n := range 25 {
			if err := r.once(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, n, err)
			}
		}
	}
}

// once does one thing, perhaps while the disk fails, with crashes before some of its operations, and perhaps starts anew.
func (r *packRun) once() error {
	crashes := rand.New(rand.NewPCG(uint64(r.index), r.rng.Uint64()))
	var failed error
	r.errs.Trace(func(op vfs.Op, name string) {
		if !op.Changes() || failed != nil || crashes.IntN(3) > 0 {
			return
		}
		model := vfs.CrashModel(crashes.IntN(int(vfs.CrashModels)))
		if _, err := r.model.survives(r.fs.Crash(model, crashes)); err != nil {
			failed = fmt.Errorf("crash (%s) before %s %s: %w", model, op, name, err)
		}
	})
	if r.rng.IntN(3) == 0 {
		r.errs.Inject(vfs.Fault{After: r.rng.IntN(20), Times: 1 + r.rng.IntN(3), Short: true})
	}
	err := r.step()
	r.errs.Heal()
	r.errs.Trace(nil)
	if err != nil && !errors.Is(err, vfs.ErrInjected) {
		return err
	}
	if failed = errors.Join(failed, r.model.check(r.s)); failed != nil || r.rng.IntN(6) > 0 {
		return failed
	}
	return r.restart()
}

// restart opens the store anew, after a crash or in good order.
func (r *packRun) restart() error {
	r.fs = r.fs.Crash(vfs.CrashModel(r.rng.IntN(int(vfs.CrashModels))), r.rng)
	r.errs = vfs.NewErrs(r.fs)
	var err error
	if r.s, err = r.model.survives(r.errs); err != nil {
		return err
	}
	for _, uid := range many(6) {
		info, _ := r.s.Newest(uid)
		r.model.has[uid] = info.Index
		r.model.late[uid], r.model.removed[uid] = nil, false
	}
	return nil
}
