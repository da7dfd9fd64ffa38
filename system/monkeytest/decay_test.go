package monkeytest

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// sector is what a disk loses at once.
const sector = 512

// What a file of a node is called.
const (
	ofLog      = ".wal"
	ofState    = ".state"
	ofSegments = "segments/"
	ofShots    = "snapshots/"
)

// decay damages the disk of the node that is the victim. It is the only one, and all clusters are whole before it: with
// fewer sound members some could not be repaired.
func (x *weather) decay() {
	if !x.w.whole() {
		return
	}
	if x.rng.IntN(3) == 0 {
		x.decayAtWork()
		return
	}
	i := x.w.victim
	crash := x.rng.IntN(2) == 0
	x.w.close(i, crash, x.rng)
	x.rest(500)
	for range 1 + x.rng.IntN(4) {
		x.damage(x.w.disks[i], x.kind(crash))
	}
	if !crash && x.rng.IntN(20) == 0 {
		x.loseLog(x.w.disks[i])
	}
	x.w.open(i, x.rng)
	x.rest(3000)
	x.w.replace()
}

// whole reports whether each cluster has all of its members, and each of them has heard of the others.
func (w *world) whole() bool {
	members := 0
	for i := range w.hosts {
		h := w.host(i)
		if h == nil {
			return false
		}
		for _, c := range h.node.Overview().Clusters {
			for _, m := range c.Here {
				members += int(min(m.Last, 1))
			}
		}
	}
	return members == 3*len(w.clusters)
}

// kind draws a kind of files. After a crash nothing may tell how far the log had come, so that it must be what it was.
func (x *weather) kind(crash bool) string {
	kinds := []string{ofSegments, ofShots, ofLog, ofLog, ofState, ""}
	if crash {
		kinds = kinds[:2]
	}
	return kinds[x.rng.IntN(len(kinds))]
}

// decayAtWork has a bit flip in a segment or a snapshot while the node runs.
func (x *weather) decayAtWork() {
	h := x.w.host(x.w.victim)
	if name := x.file(h.mem, x.kind(true)); name != "" {
		x.flip(h.mem, name, size(h.mem, name))
	}
}

// file draws a file, "" if there is none of that kind.
func (x *weather) file(disk *vfs.Mem, kind string) string {
	var names []string
	for _, name := range list(disk, ".") {
		if strings.Contains(name, kind) && !strings.Contains(name, vfs.Quarantine) && size(disk, name) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[x.rng.IntN(len(names))]
}

// damage damages a file.
func (x *weather) damage(disk *vfs.Mem, kind string) {
	name := x.file(disk, kind)
	if name == "" {
		return
	}
	end := size(disk, name)
	switch x.rng.IntN(5) {
	case 0, 1:
		x.flip(disk, name, end)
	case 2:
		at := x.place(end)
		x.w.note("", "cut %s of %d at %d", name, end, at)
		disk.Cut(name, at)
	case 3:
		x.w.note("", "remove %s", name)
		x.remove(disk, name)
	case 4:
		x.zero(disk, name, end)
	}
}

// place draws where a file is damaged, rather at its beginning: files of the log are not full.
func (x *weather) place(end int64) int64 {
	return x.rng.Int64N(min(end, 1<<(8+x.rng.IntN(9))))
}

func (x *weather) flip(disk *vfs.Mem, name string, end int64) {
	at := x.place(end)
	x.w.note("", "flip a bit of %s of %d at %d", name, end, at)
	disk.Flip(name, at, 1<<x.rng.IntN(8))
}

func (x *weather) zero(disk *vfs.Mem, name string, end int64) {
	at := x.place(end) / sector * sector
	x.w.note("", "zero %s of %d at %d", name, end, at)
	f, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		x.w.fail("%v", err)
		return
	}
	defer f.Close()
	b := make([]byte, min(sector, end-at))
	if _, err := f.ReadAt(b, at); err != nil {
		x.w.fail("%v", err)
	}
	for i, mask := range b {
		disk.Flip(name, at+int64(i), mask)
	}
}

func (x *weather) remove(disk *vfs.Mem, name string) {
	if err := disk.Remove(name); err != nil {
		x.w.fail("%v", err)
	}
	if err := disk.SyncDir(path.Dir(name)); err != nil {
		x.w.fail("%v", err)
	}
}

// loseLog removes the whole log, which holds terms, votes and registrations.
func (x *weather) loseLog(disk *vfs.Mem) {
	x.w.note("", "the log is gone")
	for _, name := range list(disk, "wal") {
		x.remove(disk, name)
	}
}

// size returns a file's size, 0 if it cannot be read.
func size(disk *vfs.Mem, name string) int64 {
	f, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := f.Size()
	return n
}

// list returns the names of all files in a directory and below.
func list(disk *vfs.Mem, dir string) (out []string) {
	names, err := disk.List(dir)
	if err != nil {
		return nil // there is none
	}
	for _, name := range names {
		if sub, ok := strings.CutSuffix(name, "/"); ok {
			out = append(out, list(disk, path.Join(dir, sub))...)
		} else {
			out = append(out, path.Join(dir, name))
		}
	}
	return out
}

// replace has the victim's members replaced that can never run again.
func (w *world) replace() {
	if h := w.host(w.victim); h != nil {
		_ = w.call("", "replace damaged", w.ctx(2*time.Second), func(ctx context.Context) error {
			_, err := h.node.ReplaceDamaged(ctx)
			return err
		})
	}
}

// renew sees to it that the cluster's member on the victim can run: those that cannot are replaced, and one of which nothing
// is known any more is removed and added anew.
func (k *keeper) renew() {
	if k.w.victim < 0 || k.c == nil || k.s.dying || k.s.move.stage != settled {
		return
	}
	k.w.replace()
	id := ra.ServerID{Name: k.s.name, Node: nodeName(k.w.victim)}
	m, err := k.h.node.Member(id).Metrics(k.w.ctx(time.Second))
	if slices.Contains(k.c.Members(), id) && (err != nil || !m.Running) {
		k.w.note(k.s.name, "%s does not run: %v", id, err)
		k.s.move = move{stage: removing, from: id, to: id}
	}
}
