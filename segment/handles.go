package segment

import (
	"path"
	"sync"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// handles keeps the files open that were read last. Reads that run at the same time may hold more files open than the
// limit, each of them one; as soon as they are done the limit holds again.
type handles struct {
	fs    vfs.FS
	dir   string
	limit int

	mu   sync.Mutex
	open map[uint64]*handle
	tick uint64
	gone bool // closed
}

// handle is an open file.
type handle struct {
	number uint64
	f      vfs.File
	users  int
	used   uint64 // tick of the last use
	stale  bool   // to be closed by its last user
}

// acquire opens a file or finds it open. The caller releases it.
func (h *handles) acquire(number uint64) (*handle, error) {
	if x := h.find(number); x != nil {
		return x, nil
	}
	f, err := h.fs.Open(path.Join(h.dir, fileName(number)), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tick++
	x := &handle{number: number, f: f, users: 1, used: h.tick}
	if h.gone || h.open[number] != nil {
		x.stale = true
		return x, nil
	}
	h.open[number] = x
	h.evict()
	return x, nil
}

// find returns the file if it is open.
func (h *handles) find(number uint64) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.open[number]
	if x != nil {
		h.tick++
		x.used = h.tick
		x.users++
	}
	return x
}

// release ends a use.
func (h *handles) release(x *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.users--
	if x.stale && x.users == 0 {
		_ = x.f.Close() // it was only read
	}
	h.evict()
}

// evict closes the files that were unused for longest until the limit holds, as far as they are not in use.
func (h *handles) evict() {
	for len(h.open) > h.limit {
		var oldest *handle
		for _, x := range h.open {
			if x.users == 0 && (oldest == nil || x.used < oldest.used) {
				oldest = x
			}
		}
		if oldest == nil {
			return
		}
		h.shut(oldest)
	}
}

// shut takes a file off the list, and closes it now or after its last use.
func (h *handles) shut(x *handle) {
	delete(h.open, x.number)
	x.stale = true
	if x.users == 0 {
		_ = x.f.Close() // it was only read
	}
}

// forget closes a file that is going away.
func (h *handles) forget(number uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.open[number]; x != nil {
		h.shut(x)
	}
}

// renew closes all files, to be opened again when they are needed.
func (h *handles) renew() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.open {
		h.shut(x)
	}
}

// close closes all files.
func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
	for _, x := range h.open {
		h.shut(x)
	}
}
