package system

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I11: what decayed in a segment of one of three nodes is repaired from the others, and the file is kept in quarantine when it
// goes, with all that could not be read, although the node was opened again in between.
func TestRepairedSegmentIsKept(t *testing.T) {
	for _, what := range []string{"index", "body"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				minBytes := int64(0) // no snapshots at first
				w := newWorld(t, 3, func(c *Config) {
					c.WALFileSize, c.Snapshots.Growth, c.Snapshots.MinBytes = wal.MinFileSize, 1<<40, minBytes
				})
				c := w.cluster("c", "table", "n1", "n2", "n3")
				i := 0
				write := func(more func() bool) {
					t.Helper()
					for ; more(); i++ {
						if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i%7), bytes.Repeat([]byte{byte(i)}, 3000))); err != nil {
							t.Fatal(err)
						}
						last := func(n int) ra.Index { return w.n(n).registry.byName("c").log.Last() }
						w.eventually("n2 follows", func() bool { return last(2) == last(1) && last(1) >= ra.Index(i) })
					}
				}
				write(func() bool { return w.n(2).Stats().RollOvers < 2 })
				w.close("n2")
				name := w.firstFile("n2", "segments", ".seg")
				w.damageStored("n2", what)
				want := readAll(t, w.disks["n2"], name)
				n := w.open("n2")
				w.eventually("repair", func() bool { return n.Stats().Repaired == 1 })
				w.crash("n2")
				minBytes = 1
				n = w.open("n2")
				if r := n.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
					t.Fatalf("not repaired: %+v", r)
				}
				write(func() bool {
					names, err := w.disks["n2"].List("segments")
					if err != nil {
						t.Fatal(err)
					}
					return slices.Contains(names, path.Base(name))
				})
				kept := path.Join("segments", vfs.Quarantine, path.Base(name))
				if got := readAll(t, w.disks["n2"], kept); !bytes.Equal(got, want) {
					t.Errorf("%s holds %d bytes, not the %d that were damaged", kept, len(got), len(want))
				}
			})
		})
	}
}
