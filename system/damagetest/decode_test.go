package damagetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// view is what the package that a file belongs to makes of it.
type view struct {
	// members stand for everything that was read of them.
	members map[ra.UID]uint32
	// damaged are those of whom not everything can be read, which was said.
	damaged map[ra.UID]bool
	// lost: it was said that something is lost, of nobody knows whom.
	lost bool
	// noticed: something else was said.
	noticed bool
}

func newView() view { return view{members: make(map[ra.UID]uint32), damaged: make(map[ra.UID]bool)} }

// compare returns who is hurt, and what is wrong without having been said.
func (v *view) compare(want *view) (hurt []ra.UID, silent []string) {
	for uid, sum := range want.members {
		got, ok := v.members[uid]
		switch {
		case v.damaged[uid], !ok && v.lost:
			hurt = append(hurt, uid)
		case !ok:
			silent = append(silent, fmt.Sprintf("%s is gone", uid))
		case got != sum:
			silent = append(silent, fmt.Sprintf("%s is another", uid))
		}
	}
	for uid := range v.members {
		if _, ok := want.members[uid]; !ok && !v.damaged[uid] {
			silent = append(silent, fmt.Sprintf("%s appeared", uid))
		}
	}
	return hurt, silent
}

// reader reads a directory, in which it may write.
type reader func(disk *vfs.Mem) (view, error)

// sum extends a checksum by numbers.
func sum(crc uint32, numbers ...uint64) uint32 {
	var b [8]byte
	for _, n := range numbers {
		binary.LittleEndian.PutUint64(b[:], n)
		crc = crc32.Update(crc, crc32.IEEETable, b[:])
	}
	return crc
}

func sumText(crc uint32, text string) uint32 { return crc32.Update(crc, crc32.IEEETable, []byte(text)) }

// sumEntry takes in an entry: its body begins with a checksum of all the rest.
func sumEntry(crc uint32, e *ra.Entry) uint32 {
	return sum(crc, uint64(e.Index), uint64(e.Term), uint64(binary.LittleEndian.Uint32(e.Body)), uint64(len(e.Body)))
}

// readWAL opens a write-ahead log.
func readWAL(disk *vfs.Mem) (view, error) { return readWALFrom(disk, nil) }

// readWALFrom opens a write-ahead log. Of the members in from it takes entries from that index on only, and not what they
// say about segments: if an older state file has to do, a file more of the log is read, which has nothing new to say.
func readWALFrom(disk *vfs.Mem, from map[ra.UID]ra.Index) (view, error) {
	v := newView()
	// Nothing random: the same damage is to have the same result, whatever was tried before.
	l, found, err := wal.Open(wal.Config{FS: disk, Dir: "wal", FileSize: wal.MinFileSize, HighWater: highWater, Random: rand.NewChaCha8([32]byte{1})})
	if err != nil {
		return v, err
	}
	for i := range found.Members {
		m := &found.Members[i]
		uid := m.Writer.UID()
		crc := sumText(sumText(sumText(0, m.Registration.Name), string(m.Registration.Config)), string(m.State.Vote))
		crc = sum(crc, uint64(m.State.Term), uint64(m.Applied), m.Writer.Seq(), uint64(m.Writer.Last()), uint64(m.Mark.Era.Number), uint64(m.Mark.Era.Index), uint64(m.Mark.Era.Term))
		first, partly := from[uid]
		if !partly {
			crc = sum(crc, uint64(m.Reset), uint64(m.Truncated))
		}
		for e := range m.Entries.View(max(first, 1), 1<<62).All() {
			crc = sumEntry(crc, &e)
		}
		v.members[uid], v.damaged[uid] = crc, m.Mark.What != 0
	}
	v.lost = len(found.Losses) > 0
	v.noticed = found.Torn || len(found.Quarantined) > 0 || found.HighWater != nil
	return v, l.Close()
}

// readSegments opens segments and reads all entries.
func readSegments(disk *vfs.Mem) (view, error) {
	v := newView()
	s, report, err := segment.Open(segment.Config{FS: disk, Dir: "segments"})
	if err != nil {
		return v, err
	}
	var entries []ra.Entry
	for _, uid := range s.UIDs() {
		crc := uint32(0)
		for _, r := range s.Runs(uid) {
			for next := r.First; next <= r.Last && !v.damaged[uid]; next += ra.Index(len(entries)) {
				entries, err = s.Read(entries[:0], uid, next, r.Last, 1<<20)
				if err != nil && !errors.Is(err, ra.ErrDamaged) {
					return v, err
				}
				v.damaged[uid] = err != nil || len(entries) == 0
				for i := range entries {
					crc = sumEntry(crc, &entries[i])
				}
			}
		}
		v.members[uid] = crc
	}
	v.lost = len(report.Lost) > 0
	v.noticed = len(report.Degraded)+len(report.Quarantined) > 0
	return v, s.Close()
}

// readSnapshots opens snapshots and reads what a start would read of each member.
func readSnapshots(disk *vfs.Mem) (view, error) {
	v := newView()
	s, report, err := snapshot.Open(snapshot.Config{FS: disk, Dir: "snapshots"})
	if err != nil {
		return v, err
	}
	for _, d := range report.Damaged {
		v.members[d.UID], v.damaged[d.UID] = 0, true
	}
	for _, uid := range s.UIDs() {
		v.members[uid], err = sumSnapshot(s.OpenReader(uid))
		if err != nil && !errors.Is(err, ra.ErrCorrupt) {
			return v, err
		}
		v.damaged[uid] = err != nil
	}
	v.lost = slices.ContainsFunc(report.Quarantined, func(name string) bool { return path.Ext(name) == ".pack" })
	return v, nil
}

// readCheckpoint opens a checkpoint, of which nobody must have said anything if it is not used.
func readCheckpoint(disk *vfs.Mem) (view, error) {
	v := newView()
	s, _, err := snapshot.Open(snapshot.Config{FS: disk, Dir: "snapshots"})
	if err != nil {
		return v, err
	}
	v.lost = true
	for _, info := range s.Checkpoints("STATE") {
		crc, err := sumSnapshot(s.OpenCheckpoint(info))
		if err == nil {
			v.members["STATE"] = crc
		} else if !errors.Is(err, ra.ErrCorrupt) {
			return v, err
		}
	}
	return v, nil
}

// sumSnapshot reads a snapshot to its end.
func sumSnapshot(r *snapshot.Reader, err error) (uint32, error) {
	if err != nil {
		return 0, err
	}
	defer r.Close()
	m := r.Meta()
	crc := sumText(sum(0, uint64(m.Index), uint64(m.Term), uint64(m.MachineVersion)), fmt.Sprint(m.Members, m.Fields))
	state, err := io.ReadAll(r)
	return crc32.Update(crc, crc32.IEEETable, state), err
}

// subject is a file with all that is needed to read it.
type subject struct {
	disk   *vfs.Mem
	name   string // of the file there
	size   int
	kind   string
	read   reader
	want   view
	owners []extent
}

// subjects returns all files of a reference that some package reads. Files of the log are read together, others one by one.
func subjects(t *testing.T, r *reference) []subject {
	disk := r.disks[r.nodes[0]]
	names := list(t, disk)
	newest := newestWAL(names)
	logOnly := vfs.NewMem()
	for _, name := range names {
		if path.Dir(name) == "wal" || name == highWater {
			put(t, logOnly, name, read(t, disk, name))
		}
	}
	from := firstEntries(t, clone(logOnly))
	var out []subject
	for _, name := range names {
		s := subject{disk: logOnly, name: name, size: len(read(t, disk, name)), kind: kind(name, newest), owners: owners(t, disk, name)}
		switch s.kind {
		case "newest WAL file", "full WAL file", "spare WAL file", "high-water mark":
			s.read = readWAL
		case "state file":
			s.read = func(disk *vfs.Mem) (view, error) { return readWALFrom(disk, from) }
		case "segment", "roster":
			s.read = readSegments
		case "snapshot", "pack of snapshots":
			s.read = readSnapshots
		case "checkpoint":
			// A uid of its own, so that no snapshot stands in for it.
			s.name = "snapshots/STATE" + name[strings.Index(name, "."):]
			s.read, s.owners = readCheckpoint, []extent{{0, int64(s.size), "STATE"}}
		default:
			continue // nobody reads it
		}
		if path.Dir(name) != "wal" && name != highWater {
			s.disk = vfs.NewMem()
			put(t, s.disk, s.name, read(t, disk, name))
		}
		if s.kind == "roster" { // is read with what it speaks of
			for _, file := range inDir(t, disk, path.Dir(name)) {
				put(t, s.disk, file, read(t, disk, file))
			}
		}
		var err error
		if s.want, err = s.read(clone(s.disk)); err != nil {
			t.Fatal(err)
		}
		if s.want.noticed {
			t.Fatalf("%s: %+v", name, s.want)
		}
		out = append(out, s)
	}
	return out
}

// firstEntries returns the index of the first entry that a log has of each member.
func firstEntries(t *testing.T, disk *vfs.Mem) map[ra.UID]ra.Index {
	t.Helper()
	l, found, err := wal.Open(wal.Config{FS: disk, Dir: "wal", FileSize: wal.MinFileSize, HighWater: highWater})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[ra.UID]ra.Index)
	for i := range found.Members {
		m := &found.Members[i]
		out[m.Writer.UID()] = m.Entries.First()
		if m.Entries.Len() == 0 {
			out[m.Writer.UID()] = m.Writer.Last() + 1
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// put makes a file and its directory.
func put(t *testing.T, disk *vfs.Mem, name string, content []byte) {
	t.Helper()
	if err := disk.MkdirAll(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
	write(t, disk, name, content)
	if err := disk.SyncDir(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
}

// try damages the file in one way and reads it.
func (s *subject) try(t *testing.T, d damage) finding {
	t.Helper()
	disk := clone(s.disk)
	d.File = s.name
	d.apply(t, disk, nil, "")
	f := finding{row: d.How + ", " + s.kind}
	got, err := s.read(disk)
	if err != nil {
		f.outcome, f.problem = wrong, fmt.Sprintf("%s: %v", d, err)
		return f
	}
	hurt, silent := got.compare(&s.want)
	if d.How == "flip" {
		owner := ownerAt(s.owners, d.At/8)
		if slices.ContainsFunc(hurt, func(uid ra.UID) bool { return uid != owner }) {
			silent = append(silent, fmt.Sprintf("%v are hurt by a byte of %q", hurt, owner))
		}
	}
	switch {
	case len(silent) > 0:
		f.outcome, f.problem = wrong, fmt.Sprintf("%s: %s", d, strings.Join(silent, ", "))
	case len(hurt) > 1:
		f.outcome = "found, several members"
	case len(hurt) > 0:
		f.outcome = "found, one member"
	case got.lost || got.noticed:
		f.outcome = "found, another copy serves"
	default:
		f.outcome = "no effect"
	}
	return f
}

// TestEveryBit reads every file of a reference with each bit flipped, cut at each length, and with each sector zero or
// garbled: what is read is right, or it is said whose is not; and a flipped bit harms nobody but the member whose it is
// (I11; F9, F10; goal G7). Each kind of file is a campaign of its own: those of the log take by far the longest, since all
// of the log is read each time.
func TestEveryBit(t *testing.T) {
	byKind := make(map[string][]subject)
	for _, s := range subjects(t, referenceOf(t, 1)) {
		byKind[s.kind] = append(byKind[s.kind], s)
	}
	for _, kind := range []string{
		"checkpoint", "full WAL file", "high-water mark", "newest WAL file", "pack of snapshots", "roster", "segment", "snapshot", "state file",
	} { // and a spare WAL file, unless the node was stopped while it made one
		if len(byKind[kind]) == 0 {
			t.Fatalf("the reference has no %s, but %q", kind, slices.Sorted(maps.Keys(byKind)))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		name := strings.ReplaceAll(kind, " ", "-")
		t.Run(name, func(t *testing.T) { everyBit(t, "bits-"+name, byKind[kind]) })
	}
}

// everyBit is TestEveryBit for some files.
func everyBit(t *testing.T, name string, files []subject) {
	total := 0
	for i := range files {
		total += files[i].size
	}
	count := 36
	if testing.Short() {
		count = 8
	}
	if *all {
		count = total
	}
	places := sample(int64(total), int64(count), 3)
	campaign(t, name, len(places), func(t *testing.T, i int) []finding {
		at, k := places[i], 0
		for ; at >= int64(files[k].size); k++ {
			at -= int64(files[k].size)
		}
		return files[k].everythingAt(t, at)
	})
}

// everythingAt tries all that may happen to one byte.
func (s *subject) everythingAt(t *testing.T, at int64) []finding {
	out := []finding{s.try(t, damage{How: "cut", At: at})}
	for bit := range int64(8) {
		out = append(out, s.try(t, damage{How: "flip", At: at*8 + bit}))
	}
	if at%sector == 0 {
		out = append(out, s.try(t, damage{How: "zero", At: at / sector}), s.try(t, damage{How: "garble", At: at / sector}))
	}
	return out
}
