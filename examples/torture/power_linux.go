package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/fault"
	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
)

func init() {
	campaigns["power"] = func(*options) (stage, error) { return &power{}, available(fault.NeedRoot()) }
}

// volumeSize is enough for what a round leaves on a disk, and for XFS, which takes no less than 300 MB.
const volumeSize = 320 << 20

// power is the campaign of power cuts: the data are on a file system of their own, ext4 or XFS, which is cut off at
// once. What was not synced is lost, renames and new files included (F2, G9).
type power struct{ volume *fault.Volume }

// ready makes a new file system. The nodes make the data directory in it themselves.
func (p *power) ready(r *round) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	kind := []string{"ext4", "xfs"}[r.plan.Seed%2]
	v, err := fault.NewVolume(kind, filepath.Join(r.dir, "image"), filepath.Join(r.dir, "mount"), volumeSize)
	if err != nil {
		return available(err)
	}
	p.volume, r.what = v, kind
	r.plan.Dir = filepath.Join(v.Dir, "data", "nodes")
	return nil
}

// torment cuts a process off at a random moment, lets it find out, kills it, and mounts the file system again.
func (p *power) torment(ctx context.Context, r *round) error {
	l, err := r.launch(r.plan)
	if err != nil {
		return err
	}
	err = l.doom(ctx, r)
	ready, _ := l.has(journal.Ready)
	if err == nil && l.violation() == nil {
		l.tolerate()
		err = p.volume.Cut(r.random.IntN(4) == 0)
	}
	if err == nil {
		err = l.let(ctx, r.upTo(60*time.Millisecond))
	}
	l.kill()
	if err := errors.Join(err, l.end()); err != nil {
		return err
	}
	if err := errors.Join(p.volume.Unmount(), p.volume.Mount()); err != nil {
		return err
	}
	r.ledger.Cycles++
	r.ledger.hit(r.what)
	if !ready {
		r.ledger.Early++
	}
	return nil
}

// done removes the file system. That of a round that went wrong stays mounted.
func (p *power) done(r *round, failed bool) error {
	if failed || p.volume == nil {
		return nil
	}
	return errors.Join(p.volume.Close(), os.RemoveAll(r.dir))
}

// available makes a campaign be skipped if it cannot be.
func available(err error) error {
	if errors.Is(err, fault.ErrUnavailable) {
		return errors.Join(errSkipped, err)
	}
	return err
}
