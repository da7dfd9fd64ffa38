package vfs

import (
	"math/rand/v2"
	"sort"
)

// CrashModel says what a crash leaves of what was not synced.
type CrashModel uint8

// The models, from the mildest to the worst a disk may do without breaking its word.
const (
	// CrashKept: everything is there. So it is when only the process dies.
	CrashKept CrashModel = iota
	// CrashLost: nothing is there.
	CrashLost
	// CrashPrefix: of each file some of the first sectors written are there, of the names some of the first changes.
	CrashPrefix
	// CrashSubset: any sector and any change of names may be there or not.
	CrashSubset
	// CrashTorn: as CrashPrefix, and of one sector only the first bytes are there.
	CrashTorn
	// CrashGarbled: as CrashSubset, and sectors may hold anything.
	CrashGarbled

	// CrashModels is the number of models.
	CrashModels
)

// String returns the model's name.
func (c CrashModel) String() string {
	return [...]string{"kept", "lost", "prefix", "subset", "torn", "garbled", "?"}[min(c, CrashModels)]
}

// Crash returns the file system as it might be after a crash now. What the model leaves open is drawn from rng; the same
// state and the same rng give the same result. The file system itself stays as it is.
func (m *Mem) Crash(model CrashModel, rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.inodes, after.capacity = m.inodes, m.capacity
	for dir := range m.dirs {
		after.dirs[dir] = true
	}
	copies := make(map[*inode]*inode)
	left := func(n *inode) *inode {
		if n != nil && copies[n] == nil {
			copies[n] = n.crash(model, rng)
		}
		return copies[n]
	}
	names := m.crashNames(model, rng)
	for _, name := range sortedNames(names) {
		after.files[name] = left(names[name])
		after.durable[name] = after.files[name]
	}
	if model == CrashKept {
		// Only the process died: what is not durable is still not.
		clear(after.durable)
		for _, name := range sortedNames(m.durable) {
			after.durable[name] = left(m.durable[name])
		}
		for _, c := range m.pending {
			after.pending = append(after.pending, nameChange{old: c.old, new: c.new, node: left(c.node)})
		}
	}
	// What both share from now on neither may write to in place.
	m.owner = new(int)
	return after
}

// crashNames returns the names that are left.
func (m *Mem) crashNames(model CrashModel, rng *rand.Rand) map[string]*inode {
	names := make(map[string]*inode, len(m.files))
	for name, node := range m.durable {
		names[name] = node
	}
	keep := len(m.pending)
	switch model {
	case CrashLost:
		keep = 0
	case CrashPrefix, CrashTorn:
		keep = rng.IntN(len(m.pending) + 1)
	}
	for i := range m.pending[:keep] {
		if (model == CrashSubset || model == CrashGarbled) && rng.IntN(2) == 0 {
			continue
		}
		m.pending[i].apply(names)
	}
	return names
}

func sortedNames(names map[string]*inode) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// crash returns what is left of the file.
func (n *inode) crash(model CrashModel, rng *rand.Rand) *inode {
	after := &inode{id: n.id, size: n.diskSize, pages: make([]page, len(n.pages))}
	if n.size != n.diskSize && (model == CrashKept || model > CrashLost && rng.IntN(2) == 0) {
		after.size = n.size
	}
	for i := range n.pages {
		after.pages[i].disk = n.pages[i].disk
		if model == CrashKept {
			// A process that dies takes nothing of the page cache with it, not even what will never reach the disk.
			after.pages[i] = n.pages[i]
			after.pages[i].owner = nil
		}
	}
	switch model {
	case CrashKept:
		after.order, after.diskSize = append([]int(nil), n.order...), n.diskSize
		return after
	case CrashPrefix, CrashTorn:
		n.crashPrefix(after, model, rng)
	case CrashSubset, CrashGarbled:
		n.crashSubset(after, model, rng)
	}
	after.settle()
	return after
}

// crashPrefix lets the first of the dirty sectors reach the disk.
func (n *inode) crashPrefix(after *inode, model CrashModel, rng *rand.Rand) {
	left := rng.IntN(len(n.order)*sectorsPerPage + 2)
	for _, p := range n.order {
		pg := &n.pages[p]
		kept, torn := uint8(0), -1
		for s := range sectorsPerPage {
			if pg.dirty&(1<<s) == 0 {
				continue
			}
			if left--; left > 0 {
				kept |= 1 << s
			} else if left == 0 && model == CrashTorn {
				kept, torn = kept|1<<s, s
			}
		}
		out := pg.mix(func(s int) bool { return kept&(1<<s) != 0 })
		if torn >= 0 {
			pg.tear(out, torn, rng.IntN(sectorSize))
		}
		after.pages[p].disk = out
	}
}

// tear puts the old bytes of sector s back into out, from byte at of the sector on.
func (p *page) tear(out *content, s, at int) {
	from, to := s*sectorSize+at, (s+1)*sectorSize
	if p.disk == nil {
		clear(out[from:to])
		return
	}
	copy(out[from:to], p.disk[from:to])
}

// crashSubset lets any of the dirty sectors reach the disk.
func (n *inode) crashSubset(after *inode, model CrashModel, rng *rand.Rand) {
	for _, p := range n.order {
		pg := &n.pages[p]
		kept, garbled := pg.dirty&uint8(rng.Uint32()), uint8(0)
		if model == CrashGarbled {
			garbled = pg.dirty & uint8(rng.Uint32()) & uint8(rng.Uint32())
		}
		out := pg.mix(func(s int) bool { return kept&(1<<s) != 0 })
		for s := range sectorsPerPage {
			if garbled&(1<<s) != 0 {
				garble(out[s*sectorSize:(s+1)*sectorSize], rng)
			}
		}
		after.pages[p].disk = out
	}
}

func garble(b []byte, rng *rand.Rand) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

// settle makes what is on the disk what processes see.
func (n *inode) settle() {
	n.diskSize = n.size
	for i := range n.pages {
		n.pages[i] = page{cur: n.pages[i].disk, disk: n.pages[i].disk}
	}
	if keep := int((n.size + BlockSize - 1) / BlockSize); keep < len(n.pages) {
		n.pages = n.pages[:keep]
	}
	if at := int(n.size % BlockSize); at != 0 && len(n.pages) > 0 && int(n.size/BlockSize) == len(n.pages)-1 {
		n.pages[len(n.pages)-1].cutAt(at)
	}
}

// cutAt makes what follows byte at zero, as behind the end of a file.
func (p *page) cutAt(at int) {
	if p.disk == nil {
		return
	}
	cut := new(content)
	copy(cut[:at], p.disk[:at])
	p.cur, p.disk = cut, cut
}

// Flip changes the bits of mask in the byte at offset off of a file, on the disk and for all who read: what decays or is
// overwritten by mistake. It reports whether there is such a byte.
func (m *Mem) Flip(name string, off int64, mask byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.files[name]
	if n == nil || off < 0 || off >= n.size {
		return false
	}
	var b [1]byte
	if _, err := n.read(b[:], off); err != nil {
		return false
	}
	n.write([]byte{b[0] ^ mask}, off, m.owner)
	n.sync()
	return true
}

// Cut shortens a file to n bytes, durably.
func (m *Mem) Cut(name string, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.files[name]
	if n == nil || size >= n.size {
		return
	}
	n.sync()
	n.size = size
	n.settle()
}
