package vfs

import "io"

// A disk writes sectors: after a crash each of them is old or new, or, in the worst models, neither.
const (
	sectorSize     = 512
	sectorsPerPage = BlockSize / sectorSize
)

// content is the memory of one block. It is written in place only by its owner, and only while it is not the durable
// content; nil stands for zeros.
type content [BlockSize]byte

// page is one block of a file: what processes read there, and what the disk has.
type page struct {
	cur, disk *content
	owner     *int  // who may write to cur in place
	dirty     uint8 // sectors that wait for a sync
	lost      uint8 // sectors that a failed sync dropped: cur and disk differ, and no sync will mend that
}

// inode is a file without its name.
type inode struct {
	id       int
	pages    []page // as far as anything was written; what follows is zeros
	size     int64
	diskSize int64
	order    []int // dirty pages, in the order in which they became dirty
}

func (n *inode) read(b []byte, off int64) (int, error) {
	if off >= n.size {
		return 0, io.EOF
	}
	var err error
	if rest := n.size - off; int64(len(b)) > rest {
		b, err = b[:rest], io.EOF
	}
	for done := 0; done < len(b); {
		p, at := int((off+int64(done))/BlockSize), int((off+int64(done))%BlockSize)
		k := min(len(b)-done, BlockSize-at)
		if p < len(n.pages) && n.pages[p].cur != nil {
			copy(b[done:done+k], n.pages[p].cur[at:])
		} else {
			clear(b[done : done+k])
		}
		done += k
	}
	return len(b), err
}

func (n *inode) write(b []byte, off int64, owner *int) {
	n.size = max(n.size, off+int64(len(b)))
	for len(b) > 0 {
		p, at := int(off/BlockSize), int(off%BlockSize)
		k := min(len(b), BlockSize-at)
		pg := n.touch(p, at, k)
		pg.own(owner)
		copy(pg.cur[at:at+k], b)
		b, off = b[k:], off+int64(k)
	}
}

// touch marks the sectors of the k bytes at offset at in page p as dirty and returns the page.
func (n *inode) touch(p, at, k int) *page {
	for len(n.pages) <= p {
		n.pages = append(n.pages, page{})
	}
	pg := &n.pages[p]
	if pg.dirty == 0 {
		n.order = append(n.order, p)
	}
	for s := at / sectorSize; s*sectorSize < at+k; s++ {
		pg.dirty |= 1 << s
	}
	return pg
}

// own gives the page memory that may be written in place.
func (p *page) own(owner *int) {
	if p.cur != nil && p.cur != p.disk && p.owner == owner {
		return
	}
	mine := new(content)
	if p.cur != nil {
		*mine = *p.cur
	}
	p.cur, p.owner = mine, owner
}

func (n *inode) zero(off, length int64) {
	n.size = max(n.size, off+length)
	for p := int(off / BlockSize); int64(p) < (off+length)/BlockSize && p < len(n.pages); p++ {
		n.touch(p, 0, BlockSize).cur = nil
	}
}

func (n *inode) sync() {
	n.diskSize = n.size
	for _, p := range n.order {
		pg := &n.pages[p]
		if pg.lost &^= pg.dirty; pg.lost == 0 {
			pg.disk = pg.cur
		} else {
			pg.disk = pg.mix(func(s int) bool { return pg.dirty&(1<<s) != 0 })
		}
		pg.dirty = 0
	}
	n.order = n.order[:0]
}

func (n *inode) drop() {
	for _, p := range n.order {
		pg := &n.pages[p]
		pg.lost |= pg.dirty
		pg.dirty = 0
	}
	n.order = n.order[:0]
}

// mix returns the durable content with the sectors for which kept is true replaced by what processes see.
func (p *page) mix(kept func(sector int) bool) *content {
	out := new(content)
	if p.disk != nil {
		*out = *p.disk
	}
	for s := range sectorsPerPage {
		if !kept(s) {
			continue
		}
		at := s * sectorSize
		if p.cur == nil {
			clear(out[at : at+sectorSize])
		} else {
			copy(out[at:at+sectorSize], p.cur[at:])
		}
	}
	return out
}
