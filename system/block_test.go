package system

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// bindingBlock returns where in the newest file of a node's log a batch is that is one block long, has rows of one member only,
// and gives it its number in the file; and that member. The node is closed. It reads what docs/FORMAT.md describes.
func (w *world) bindingBlock(node ra.NodeID) (name string, off int64, uid ra.UID) {
	w.t.Helper()
	names, err := w.disks[node].List("wal")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range names {
		if len(n) > 4 && n[len(n)-4:] == ".wal" {
			name = "wal/" + n
		}
	}
	var found []int
	le, b := binary.LittleEndian, readAll(w.t, w.disks[node], name)
	for at := 2 * vfs.BlockSize; at < len(b); at += vfs.BlockSize {
		head := b[at:]
		if string(head[:4]) != "HLB1" || le.Uint64(head[24:]) != vfs.BlockSize || le.Uint32(head[48:]) != 1 {
			continue
		}
		if row := head[64:]; le.Uint32(row[32:])&1 != 0 {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		w.t.Fatalf("%s binds nobody alone", name)
	}
	at := found[len(found)/2]
	row := b[at+64:]
	return name, int64(at), ra.UID(row[41:][:row[40]])
}

// someoneElse reports whether one of the losses may be anybody's.
func someoneElse(losses []wal.Loss) bool {
	return slices.ContainsFunc(losses, func(l wal.Loss) bool { return !l.Attributed })
}

// zero makes a block of a file zero.
func (w *world) zero(node ra.NodeID, name string, off int64) {
	w.t.Helper()
	f, err := w.disks[node].Open(name, vfs.Buffered)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, vfs.BlockSize), off); err != nil {
		w.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// I11, I21: a block of the newest file of the log is lost: one that gave a member its number there, once with its registration
// and once, after a restart, with a term. That costs this member what it does. The nineteen others on the node go on, also after
// a further restart.
func TestLostBlockOfTheLog(t *testing.T) {
	for _, restarts := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, nil)
			const clusters = 20
			begin := func(name string) *Cluster { return w.cluster(name, "counter", "n1") }
			for life := range 1 + restarts {
				if life > 0 {
					w.close("n1")
					w.open("n1")
					begin = func(name string) *Cluster { return w.on("n1", name) }
				}
				for i := range clusters {
					c := begin(fmt.Sprint("c", i))
					synctest.Wait()
					w.add(c, 1)
					synctest.Wait()
				}
			}
			registry := &w.n(1).registry
			w.close("n1")
			name, off, uid := w.bindingBlock("n1")
			hurt := registry.byUID(uid).id.Name
			w.zero("n1", name, off)
			for life := range 2 {
				n := w.open("n1")
				r := n.Report()
				delete(r.Suspect, uid)
				if r.Damaged[uid] == nil || len(r.Damaged) != 1 || len(r.Suspect) > 0 || life == 0 && len(r.Losses) != 1 || someoneElse(r.Losses) {
					t.Fatalf("of %s is lost the block at %d in %s: %+v", uid, off, name, r)
				}
				for i := range clusters {
					cluster := fmt.Sprint("c", i)
					c, err := n.Cluster(cluster)
					if err == nil {
						_, err = c.Process(w.ctx(), reference.AppendAdd(nil, 1))
					}
					_, local := n.Member(ra.ServerID{Name: cluster}).LocalQuery(w.ctx(), nil)
					if damaged := cluster == hurt; damaged && restarts == 0 && !errors.Is(local, ra.ErrDamaged) || !damaged && local != nil {
						t.Errorf("%d restarts, %s is hurt: a local query of %s ends with %v", restarts, hurt, cluster, local)
					}
					if damaged := cluster == hurt; damaged != errors.Is(err, ra.ErrDamaged) || !damaged && err != nil {
						t.Errorf("%d restarts, %s is hurt: a call of %s ends with %v", restarts, hurt, cluster, err)
					}
				}
				w.close("n1")
			}
		})
	}
}
