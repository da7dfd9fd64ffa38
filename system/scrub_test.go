package system

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I9, I11: the scrubber finds a body in a segment, and a snapshot, that have decayed or gone while the node runs. The member's
// memory still has what they held: it writes a snapshot, even if it is its cluster's only member, and nothing is lost.
func TestScrub(t *testing.T) {
	for _, what := range []string{"body", "no segment", "snapshot", "no snapshot"} {
		snapshots := strings.HasSuffix(what, "snapshot")
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, func(c *Config) {
					c.WALFileSize, c.ScrubRate = wal.MinFileSize, 1<<40
					c.Snapshots.Growth = 1 << 40 // no packs: the entries go into segments
					if snapshots {
						c.Snapshots.MinBytes = 1
					}
				})
				n := w.n(1)
				c := w.cluster("c", "table", "n1")
				r := n.registry.byName("c")
				_, stored := n.snapshots.Newest(r.uid)
				for i := 0; r.log.FirstSegment() == 0 || snapshots && !stored; i++ {
					if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i%7), bytes.Repeat([]byte{byte(i)}, 3000))); err != nil {
						t.Fatal(err)
					}
					_, stored = n.snapshots.Newest(r.uid)
				}
				synctest.Wait() // no snapshot is under way
				before := w.tableAt(n, "c")
				if err := n.scrubAll(); err != nil || n.Stats().Scrub.Found != 0 {
					t.Fatalf("found before: %v, %+v", err, n.Stats().Scrub)
				}
				name := w.firstFile("n1", "segments", ".seg")
				if snapshots {
					name = w.firstFile("n1", "snapshots", ".snap")
				}
				switch what {
				case "body":
					w.flip("n1", name, vfs.BlockSize+1000)
				case "snapshot":
					w.flip("n1", name, int64(len(readAll(t, w.disks["n1"], name))/2))
				default:
					if err := w.disks["n1"].Remove(name); err != nil {
						t.Fatal(err)
					}
				}
				if err := n.scrubAll(); err != nil {
					t.Fatal(err)
				}
				if s := n.Stats().Scrub; s.Found == 0 || s.Bytes == 0 {
					t.Fatalf("nothing was found: %+v", s)
				}
				w.eventually("a snapshot", func() bool {
					info, ok := n.snapshots.Newest(r.uid)
					return ok && r.log.Snapshot().Index == info.Index && n.snapshots.Check(r.uid) == nil
				})
				synctest.Wait()
				found := n.Stats().Scrub.Found
				if err := n.scrubAll(); err != nil || n.Stats().Scrub.Found != found {
					t.Errorf("found again: %v, %+v", err, n.Stats().Scrub)
				}
				w.close("n1")
				n = w.open("n1")
				if r := n.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
					t.Errorf("report: %+v", r)
				}
				if after := w.tableAt(n, "c"); after != before {
					t.Errorf("the state was\n%s\nand is\n%s", before, after)
				}
			})
		})
	}
}

// A snapshot that has decayed, and whose successor could not be written, is written by the next pass.
func TestScrubFindsNoSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk *vfs.Errs
		w := newWorld(t, 1, func(c *Config) {
			disk = vfs.NewErrs(c.FS)
			c.FS, c.ScrubRate = disk, 1<<40
			c.WALFileSize, c.Snapshots = wal.MinFileSize, snapshot.Policy{MinBytes: 1, Growth: 1}
		})
		n := w.n(1)
		c := w.cluster("c", "table", "n1")
		r := n.registry.byName("c")
		for i := 0; r.log.Snapshot().Index == 0; i++ {
			if _, err := c.Process(w.ctx(), reference.AppendPut(nil, "key", bytes.Repeat([]byte{byte(i)}, 3000))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for pass := range 3 {
			info, ok := n.snapshots.Newest(r.uid)
			if ok != (pass == 0) {
				t.Fatalf("pass %d: %+v, %v", pass, info, ok)
			}
			if pass == 0 {
				if err := n.snapshots.Condemn(info); err != nil {
					t.Fatal(err)
				}
			}
			if pass < 2 {
				disk.Inject(vfs.Fault{Op: vfs.OpCreate})
			}
			if err := n.scrubAll(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			disk.Heal()
		}
		if err := n.snapshots.Check(r.uid); err != nil || n.Stats().Scrub.Found != 3 {
			t.Errorf("%v; %+v", err, n.Stats().Scrub)
		}
	})
}
