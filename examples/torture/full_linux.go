package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/fault"
	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/examples/torture/truth"
	"github.com/heliopolis-raft/heliopolis/examples/torture/worker"
)

func init() {
	campaigns["full"] = func(*options) (stage, error) { return &filling{}, available(fault.NeedRoot()) }
}

// filling is the campaign of full disks. Half of the rounds have their data on a small file system in memory, which
// fills up and says so. In the others the data are on a disk that pretends to be large, and stands on such a small file
// system: when that is full writes to the disk get lost behind the back of the file system on it, a sync fails, and the
// sync after that would succeed and prove nothing. Some of these disks lie even to the first sync (F7, I10, I15, I20).
type filling struct {
	memory *fault.Tmpfs
	disk   *fault.Volume // nil if the data are in memory
}

// Sizes of the small file system, and of the disk that stands on it.
const (
	memorySize = 192 << 20
	diskSize   = 512 << 20
)

// ready mounts the file systems of a round.
func (f *filling) ready(r *round) (err error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	r.plan.Churn = false
	r.lives = 1 + r.random.IntN(4)
	for i := range r.plan.Slots {
		r.plan.Slots[i].Idle = i%4 >= 2 // with one member, and with three
	}
	r.truth = truth.New(r.plan.Slots)
	if f.memory, err = fault.NewTmpfs(filepath.Join(r.dir, "memory"), memorySize); err != nil {
		return available(err)
	}
	f.disk, r.what = nil, "memory"
	// What a file of the log keeps for votes grows with it: that of small ones is gone after a few.
	r.plan.WALFileSize = 4 << 20
	if r.random.IntN(2) == 0 {
		r.plan.SnapshotEvery = 1 << 30 // nothing is ever freed
	}
	r.plan.Dir = filepath.Join(f.memory.Dir, "nodes")
	if r.random.IntN(2) == 0 {
		return nil
	}
	r.what = "disk"
	f.disk, err = fault.NewVolume("ext4", filepath.Join(f.memory.Dir, "image"), filepath.Join(r.dir, "mount"), diskSize)
	if err != nil {
		return available(err)
	}
	r.plan.Dir = filepath.Join(f.disk.Dir, "nodes")
	if r.random.IntN(4) == 0 {
		r.what = "lying disk"
		return nil
	}
	return f.disk.Honest()
}

// torment lets a process work until there is no space, makes some again, kills the process, and compares.
func (f *filling) torment(ctx context.Context, r *round) error {
	l, err := r.launch(r.plan)
	if err != nil {
		return err
	}
	if f.disk != nil {
		err = f.lie(ctx, r, l)
	} else {
		err = f.fill(ctx, r, l)
	}
	l.kill()
	if err := errors.Join(err, l.end()); err != nil {
		return err
	}
	if f.disk != nil {
		if err := errors.Join(f.disk.Unmount(), f.disk.Check(), f.disk.Mount()); err != nil {
			return err
		}
	}
	r.ledger.Cycles++
	r.ledger.hit(r.what)
	// What a disk loses of what it has confirmed is damage. It must be found, whoever it stops.
	r.damaged = r.what == "lying disk"
	return r.verify(ctx)
}

// fill takes the space away until commands are refused, sees that all clusters answer all the same, notes if idle ones
// can elect leaders, and gives the space back: then all go on, in the same process.
func (f *filling) fill(ctx context.Context, r *round, l *life) error {
	alive := func(s *journal.Slot, a truth.Answers) bool { return a.Acked > 0 || s.Idle && a.Read > 0 }
	if err := l.serve(ctx, r, "before", alive); err != nil {
		return err
	}
	release, err := ballast(f.memory.Dir, r.random.Int64N(1<<20))
	if err != nil {
		return err
	}
	defer release()
	if full, err := l.fillUp(ctx, r); err != nil || !full {
		return err
	}
	// Commands that were on their way when the space went may wait for it.
	served := func(s *journal.Slot, a truth.Answers) bool { return a.Ended+a.Waits > 0 || s.Idle && a.Read > 0 }
	if err := l.serve(ctx, r, "while the disk is full", served); err != nil {
		return err
	}
	r.truth.Mark()
	l.tell(worker.ElectCommand)
	if err := l.let(ctx, time.Second+r.upTo(300*time.Millisecond)); err != nil {
		return err
	}
	waiting := r.truth.Waiting(func(s *journal.Slot, a truth.Answers) bool { return a.Elected > 0 || !s.Idle || s.Members == 1 })
	if len(waiting) == 0 {
		r.ledger.hit("memory, elections")
	}
	release()
	return l.serve(ctx, r, "after there was space again", alive)
}

// patienceForFull is how long clusters may go on with what space there is before it is given up to fill the disk: if all
// of them take snapshots often what they free is enough for what they need.
const patienceForFull = 10 * time.Second

// fillUp waits until a command is refused because the disk is full, and reports whether one was.
func (l *life) fillUp(ctx context.Context, r *round) (bool, error) {
	before := r.truth.Counts().Full
	bounded, cancel := context.WithTimeout(ctx, patienceForFull)
	defer cancel()
	err := l.wait(bounded, func() bool { return r.truth.Counts().Full > before })
	if errors.Is(err, context.DeadlineExceeded) {
		r.ledger.hit("memory, not full")
		return false, nil
	}
	return true, err
}

// serve waits until all clusters have done enough from now on.
func (l *life) serve(ctx context.Context, r *round, when string, enough func(*journal.Slot, truth.Answers) bool) error {
	if err := l.await(ctx, journal.Ready); err != nil {
		return err
	}
	r.truth.Mark()
	if err := l.cope(ctx, r, enough); err != nil {
		return fmt.Errorf("%s: %w", when, err)
	}
	return nil
}

// lie takes the space away from below the disk while the process works, until it has noticed, or for a while.
func (f *filling) lie(ctx context.Context, r *round, l *life) error {
	alive := func(s *journal.Slot, a truth.Answers) bool { return a.Acked > 0 || s.Idle && a.Read > 0 }
	if err := l.serve(ctx, r, "before", alive); err != nil {
		return err
	}
	l.tolerate()
	release, err := ballast(f.memory.Dir, r.random.Int64N(256<<10))
	if err != nil {
		return err
	}
	defer release()
	return l.let(ctx, 500*time.Millisecond+r.upTo(2*time.Second))
}

// ballast fills a file system up except for some bytes. What it returns makes the space free again.
func ballast(dir string, free int64) (release func(), err error) {
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	release = func() { _ = os.Remove(path) }
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	size, seekErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, seekErr, f.Truncate(max(size-free, 0)), f.Close()); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// done removes the file systems. Those of a round that went wrong stay mounted.
func (f *filling) done(r *round, failed bool) error {
	if failed || f.memory == nil {
		return nil
	}
	var errs []error
	if f.disk != nil {
		errs = append(errs, f.disk.Close())
	}
	errs = append(errs, f.memory.Close(), os.RemoveAll(r.dir))
	f.disk, f.memory = nil, nil
	return errors.Join(errs...)
}
