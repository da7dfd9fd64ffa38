package damagetest

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// highWater is the name of the mark that says how far the log has come.
const highWater = "HIGHWATER"

// roster is the name of the file that says to whom which segment file matters.
const roster = "segments/ROSTER"

// sector is what a disk loses or garbles at once.
const sector = 512

// damage is one change of one data directory. Its text is enough to repeat it on the same reference.
type damage struct {
	// Killed: it is done to what the node left when it was killed at work, and not to a log that is sealed.
	Killed bool
	// How is one of the words of apply, and File what it is done to.
	How, File string
	// At is the number of a bit for "flip", of a sector for "zero" and "garble", the new length for "cut", where a batch
	// begins for "tables", and where the first one that is not there yet for "earlier".
	At int64
	// Other is the second file of "swap" and "both", the name of the new one for "copy", the node for "theirs",
	// and for "clone" the kinds of the files.
	Other string
}

// String returns the words that parseDamage reads.
func (d damage) String() string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s %d %s", d.How, d.File, d.At, d.Other))
	if d.Killed {
		return "killed " + text
	}
	return text
}

// parseDamage is the reverse of String.
func parseDamage(text string) (damage, error) {
	var d damage
	text, d.Killed = strings.CutPrefix(text, "killed ")
	n, err := fmt.Sscan(text, &d.How, &d.File, &d.At, &d.Other)
	if n < 3 {
		return d, fmt.Errorf("damage %q: %w", text, err)
	}
	return d, nil
}

// apply damages a disk, that of a node of r.
func (d damage) apply(t testing.TB, disk *vfs.Mem, r *reference, node ra.NodeID) {
	t.Helper()
	switch d.How {
	case "flip":
		if !disk.Flip(d.File, d.At/8, 1<<(d.At%8)) {
			t.Fatalf("no such bit: %s", d)
		}
	case "zero", "garble":
		b := read(t, disk, d.File)
		part := b[d.At*sector : min((d.At+1)*sector, int64(len(b)))]
		clear(part)
		if d.How == "garble" {
			rng := rand.New(rand.NewPCG(uint64(d.At), 1))
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
		}
		write(t, disk, d.File, b)
	case "tables": // both copies of what a batch of the log orders, votes among it
		one, other := tablesAt(read(t, disk, d.File), d.At)
		flipByte(t, disk, d.File, one)
		flipByte(t, disk, d.File, other)
	case "both": // a bit in each of two files
		flipByte(t, disk, d.File, d.At)
		flipByte(t, disk, d.Other, d.At)
	case "cut":
		disk.Cut(d.File, d.At)
	case "remove":
		remove(t, disk, d.File)
	case "swap":
		a, b := read(t, disk, d.File), read(t, disk, d.Other)
		write(t, disk, d.File, b)
		write(t, disk, d.Other, a)
	case "copy":
		write(t, disk, d.Other, read(t, disk, d.File))
	case "old": // what the file once was takes the place of what it is, or comes back
		write(t, disk, d.File, read(t, r.older[node], d.File))
	case "earlier": // a file of the log is what it was when the batches from there on were not written yet
		b := read(t, disk, d.File)
		clear(b[d.At:])
		write(t, disk, d.File, b)
	case "all-old": // so does a directory
		for _, name := range inDir(t, disk, d.File) {
			remove(t, disk, name)
		}
		for _, name := range inDir(t, r.older[node], d.File) {
			write(t, disk, name, read(t, r.older[node], name))
		}
	case "clone": // files of the node's copy that went on in its own way
		for _, name := range r.cloned(t, node, d.Other) {
			if _, err := disk.Open(name, vfs.Buffered); err == nil {
				remove(t, disk, name)
			}
			if _, err := r.clones[node].Open(name, vfs.Buffered); err == nil {
				write(t, disk, name, read(t, r.clones[node], name))
			}
		}
	case "theirs": // another node's file of that name
		write(t, disk, d.File, read(t, r.disks[ra.NodeID(d.Other)], d.File))
	default:
		t.Fatalf("unknown damage: %s", d)
	}
}

func flipByte(t testing.TB, disk *vfs.Mem, name string, off int64) {
	t.Helper()
	if !disk.Flip(name, off, 1) {
		t.Fatalf("%s has no byte %d", name, off)
	}
}

// inDir returns the names of the files in a directory, not those in quarantine.
func inDir(t testing.TB, disk *vfs.Mem, dir string) (out []string) {
	for _, name := range list(t, disk) {
		if path.Dir(name) == dir {
			out = append(out, name)
		}
	}
	return out
}

func remove(t testing.TB, disk *vfs.Mem, name string) {
	t.Helper()
	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := disk.SyncDir(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
}

// kind says what a file of a data directory is. newest is the WAL file with the highest number.
func kind(name, newest string) string {
	switch {
	case strings.Contains(name, "quarantine/"):
		return "in quarantine"
	case name == newest:
		return "newest WAL file"
	}
	kinds := map[string]string{
		".wal": "full WAL file", ".spare": "spare WAL file", ".state": "state file", ".seg": "segment", ".snap": "snapshot",
		".ckpt": "checkpoint", ".pack": "pack of snapshots",
	}
	if k := kinds[path.Ext(name)]; k != "" && strings.Count(path.Base(name), ".") != 1 || k != "" && len(path.Base(name)) > 16 {
		return k
	}
	switch name {
	case "LOCK":
		return "lock file"
	case highWater:
		return "high-water mark"
	case roster:
		return "roster"
	case "wal":
		return "all of the log"
	}
	return "stranger"
}

// newestWAL returns the name of the WAL file with the highest number.
func newestWAL(names []string) string {
	newest := ""
	for _, name := range names {
		if path.Dir(name) == "wal" && path.Ext(name) == ".wal" {
			newest = max(newest, name)
		}
	}
	return newest
}
