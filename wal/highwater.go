package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// highWater is the high-water mark: how far the log had come, written down outside of its directory. A log that is set
// back to what it once was, or whose newest file is, looks like one that a crash ended at that time: nothing in it
// contradicts that. The mark does. It is a lower bound: all that it speaks of was durable before it was written, so that
// it may be as old as it likes.
//
//	0    8  "HELIOHWM"
//	8    4  format version
//	12   4  CRC-32C of bytes 0 to 12 and 16 to 64
//	16   8  id of the log, as in its files
//	24   8  number of the newest WAL file
//	32   8  number of a batch: all with lower numbers were durable
//	40   8  id of the newest WAL file
//	48  16  zeros
type highWater struct {
	log, file, batch, id uint64
}

const (
	highWaterMagic = "HELIOHWM"
	markSize       = 64
	gaugeSize      = 2 * block
)

// markPlaces are where in the file a mark may stand: two in each block, in sectors of their own.
var markPlaces = [2][2]int64{{0, block / 2}, {block, block + block/2}}

// encode writes the mark into b, which is as long as a mark is.
func (h *highWater) encode(b []byte) {
	clear(b[:markSize])
	copy(b, highWaterMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	for i, v := range [...]uint64{h.log, h.file, h.batch, h.id} {
		le.PutUint64(b[16+8*i:], v)
	}
	le.PutUint32(b[12:], fileChecksum(b[:markSize]))
}

// decodeHighWater is the reverse of encode.
func decodeHighWater(b []byte) (highWater, error) {
	le := binary.LittleEndian
	if len(b) != markSize || string(b[:8]) != highWaterMagic {
		return highWater{}, corruptf("no high-water mark")
	}
	if want, got := le.Uint32(b[12:]), fileChecksum(b); want != got {
		return highWater{}, corruptf("high-water mark checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return highWater{}, fmt.Errorf("%w: high-water mark format %d, this program knows %d", errVersion, v, formatVersion)
	}
	h := highWater{log: le.Uint64(b[16:]), file: le.Uint64(b[24:]), batch: le.Uint64(b[32:]), id: le.Uint64(b[40:])}
	if h.file >= maxNumber || h.batch >= 1<<63 {
		return highWater{}, corruptf("high-water mark at file %d, batch %d", h.file, h.batch)
	}
	return h, nil
}

// gauge is the file with the marks. One of its two blocks is durable while the other is written, so that a crash of the
// system, which may tear that, costs what was written since, and no more. The two places of a block are written in turn, so that
// a process that is killed while it writes leaves the mark before.
type gauge struct {
	f      vfs.File // nil if there is none, or it has failed
	block  int      // which of the two is written
	place  int      // where in it the next mark goes
	rolled bool     // the log has gone on to another file since a mark was durable
	mark   [markSize]byte
}

// write writes the mark. Without sync it is durable sometime, or a later one is.
func (g *gauge) write(h highWater, sync bool) error {
	h.encode(g.mark[:])
	if _, err := g.f.WriteAt(g.mark[:], markPlaces[g.block][g.place]); err != nil {
		return err
	}
	g.place = 1 - g.place
	if !sync {
		return nil
	}
	if err := g.f.Sync(); err != nil {
		return err
	}
	g.block = 1 - g.block
	return nil
}

// close lets go of the file. What it holds stays as it is.
func (g *gauge) close() {
	if g.f != nil {
		_ = g.f.Close() // what counts was synced
		g.f = nil
	}
}

// note writes down outside of the log how far it has come: see Config.HighWater. That is done before anybody hears of a batch, so
// that a process which is killed then has said so. It costs no call of the system where the file is mapped into memory.
func (l *Log) note() {
	if g := &l.gauge; g.f != nil && g.write(l.highWater(), false) != nil {
		g.close() // a file that has failed is not trusted any more
	}
}

// Note has the mark durable that says how far the log has come, if the log has gone on to another file since it last was. It is to
// be called when those have been told whom the last batch concerns, since it takes as long as a sync. What fails is tried
// again after the next roll-over, and costs only that the mark is older than it could be.
func (l *Log) Note() {
	if l.err == nil && l.gauge.rolled {
		l.gauge.rolled = false
		l.noteDurably()
	}
}

// noteDurably writes a durable mark, to a new file if the one that was there has failed.
func (l *Log) noteDurably() {
	g := &l.gauge
	switch {
	case l.cfg.HighWater == "":
	case g.f == nil:
		_ = l.newGauge()
	case g.write(l.highWater(), true) != nil:
		g.close()
	}
}

// highWater returns the mark as it is now. All batches below settled are durable.
func (l *Log) highWater() highWater {
	return highWater{log: l.id, file: l.cur.header.seq, batch: l.settled, id: l.cur.header.id}
}

// newGauge makes a file with the mark, in the place of one that may be there: written aside, synced, renamed, directory
// synced.
func (l *Log) newGauge() error {
	if err := l.makeGauge(); err != nil {
		return err
	}
	return l.putGauge()
}

// makeGauge makes a file for the mark, aside, with all the space that it needs.
func (l *Log) makeGauge() error {
	fs, temp := l.cfg.FS, l.cfg.HighWater+tempSuffix
	if err := fs.Remove(temp); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	f, err := fs.Create(temp, vfs.Buffered)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, gaugeSize), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.SyncDir(path.Dir(temp))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.gauge = gauge{f: vfs.Map(f, gaugeSize)}
	return nil
}

// putGauge writes the mark into the file that makeGauge has made, and puts that in the place of the one that may be there.
func (l *Log) putGauge() error {
	fs, g, name := l.cfg.FS, &l.gauge, l.cfg.HighWater
	err := g.write(l.highWater(), false)
	if err == nil {
		g.block = 1
		err = g.write(l.highWater(), true)
	}
	if err == nil {
		err = fs.Rename(name+tempSuffix, name)
	}
	if err == nil {
		err = fs.SyncDir(path.Dir(name))
	}
	if err != nil {
		g.close()
	}
	return err
}

// readHighWater reads the marks that are sound, at least one.
func (l *Log) readHighWater() ([]highWater, error) {
	f, err := l.cfg.FS.Open(l.cfg.HighWater, vfs.Buffered)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	src := source{f: f, size: min(size, gaugeSize)}
	var found []highWater
	cause := corruptf("high-water mark of %d bytes", size)
	for _, off := range slices.Concat(markPlaces[0][:], markPlaces[1][:]) {
		if off+markSize > src.size {
			break
		}
		h, err := decodeHighWater(src.bytes(off, markSize))
		switch {
		case errors.Is(err, errVersion):
			return nil, err
		case err != nil:
			cause = errors.Join(err, src.unreadable(off, off+markSize))
		default:
			found = append(found, h)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, cause
}

// loadHighWater reads the mark. That it cannot be read is no reason not to go on: the log decides alone, then. That it may not
// be opened is one: nothing is wrong with it, and who sets that right must find it in its place.
func (r *recovery) loadHighWater() error {
	if r.l.cfg.HighWater == "" {
		return nil
	}
	h, err := r.l.readHighWater()
	if err != nil && !errors.Is(err, vfs.ErrNotExist) { // once is nothing
		h, err = r.l.readHighWater()
	}
	if errors.Is(err, errVersion) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w", r.l.cfg.HighWater, err)
	}
	isNew := len(r.inv.files)+len(r.inv.states) == 0 && errors.Is(err, vfs.ErrNotExist)
	if r.marks = h; err != nil && !isNew {
		r.out.HighWater = fmt.Errorf("wal: high-water mark: %w", err)
	}
	return nil
}

// identify finds out which log this is: what most of its files say, or the mark where there is none to say so. Where they
// disagree the mark counts as one of them. A mark of another log says nothing of this one, and a file of another log is none
// of this one.
func (r *recovery) identify() error {
	if err := r.readStates(); err != nil {
		return err
	}
	if err := r.readHeaders(); err != nil {
		return err
	}
	ids := r.logIDs()
	switch {
	case len(ids) > 0:
		r.l.id = r.elect(ids)
	case len(r.marks) > 0:
		r.l.id = r.marks[0].log
	default:
		id, err := r.l.random()
		r.l.id = id
		return err
	}
	r.disown()
	r.hear()
	if len(r.marks) > 0 && !r.marked {
		r.out.HighWater = fmt.Errorf("wal: high-water mark: %w", corruptf("that of another log"))
	}
	return nil
}

// elect returns the log that most files are of. Of several it is the mark's, or else the first.
func (r *recovery) elect(ids []uint64) uint64 {
	if len(r.marks) > 0 && slices.Contains(ids, r.marks[0].log) {
		ids = append([]uint64{r.marks[0].log}, ids...)
	}
	best, most := uint64(0), 0
	count := make(map[uint64]int)
	for _, id := range ids {
		count[id]++
	}
	for _, id := range ids {
		if count[id] > most {
			best, most = id, count[id]
		}
	}
	return best
}

// logIDs returns of which log each file is that says so, in their order.
func (r *recovery) logIDs() []uint64 {
	var ids []uint64
	for _, seq := range r.inv.files {
		if h := r.headers[seq]; h != nil {
			ids = append(ids, h.log)
		}
	}
	for i := range r.found {
		if s := &r.found[i]; s.stateFile != nil {
			ids = append(ids, s.log)
		}
	}
	return ids
}

// errStranger says that a file is sound, and of another log.
var errStranger = corruptf("of another log")

// disown makes files of other logs count for nothing. sortFiles moves the WAL files among them.
func (r *recovery) disown() {
	for seq, h := range r.headers {
		if h.log != r.l.id {
			r.bad[seq] = errStranger
		}
	}
	for i := range r.found {
		if s := &r.found[i]; s.stateFile != nil && s.log != r.l.id {
			s.stateFile = nil
		}
	}
}

// renewHighWater begins a new mark, once all that the old one had to say is done. One that is of no use goes to
// quarantine: by now the rest of the disk could be read.
func (r *recovery) renewHighWater() error {
	name := r.l.cfg.HighWater
	if name == "" {
		return nil
	}
	if r.uselessMark() {
		if err := vfs.ToQuarantine(r.l.cfg.FS, path.Dir(name), path.Base(name)); err != nil {
			return err
		}
		r.out.Quarantined = append(r.out.Quarantined, name)
	}
	return r.l.putGauge()
}

// uselessMark reports whether there is a mark that says nothing of this log.
func (r *recovery) uselessMark() bool {
	return r.out.HighWater != nil && !errors.Is(r.out.HighWater, vfs.ErrNotExist)
}
