package wal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// F9, I11: what is damaged in the last batch of a log goes to quarantine with its file, though that batch is void for later starts,
// and whenever they come: before the file is released, or between its release and its end.
func TestVoidDamageIsKept(t *testing.T) {
	for starts := 1; starts <= 3; starts++ {
		for _, between := range []bool{false, true} {
			what := fmt.Sprintf("%d starts, one behind the release: %v", starts, between)
			m, disk := reference(t, 1, false)
			m.cfg.HighWater = ""
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			name := fileName(1)
			before := content(t, hurt, "wal/"+name)
			a := m.members["a"].now()
			last := bytes.Repeat([]byte{byte(a.last()), byte(a.log[len(a.log)-1])}, 20)
			hurt.Flip("wal/"+name, int64(bytes.LastIndex(before, last)), 1)
			damaged := content(t, hurt, "wal/"+name)
			if bytes.Equal(damaged, before) {
				t.Fatal("nothing is damaged")
			}
			m.cfg.FS = hurt
			for i := range starts {
				out := m.open()
				if m.err != nil || i == 0 && len(out.Losses) != 1 {
					t.Fatalf("%s: %+v, %v", what, out, m.err)
				}
				if i < starts-1 {
					m.try(m.log.Close)
				}
			}
			if between {
				m.try(func() error { return m.log.Release(m.log.Closed()[0]) })
				if names, _ := hurt.List("wal"); !slices.Contains(names, name) {
					t.Fatalf("%s: it does not wait for the next release: %v", what, names)
				}
				hurt = hurt.Crash(vfs.CrashLost, m.rng)
				m.cfg.FS = hurt
				m.open()
			}
			if m.err != nil || !m.quarantined(t, hurt, name) {
				t.Fatalf("%s: the file is gone, %v", what, m.err)
			}
			if kept := whole(t, hurt, "wal/quarantine/"+name); !bytes.Equal(kept[:len(damaged)], damaged) {
				t.Errorf("%s: it is another file", what)
			}
			names, _ := hurt.List("wal/quarantine")
			if want := []string{name, name + damagedSuffix}; !slices.Equal(names, want) {
				t.Errorf("%s: in quarantine are %v, want %v", what, names, want)
			}
		}
	}
}
