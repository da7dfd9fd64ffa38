package wal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Recovery is what a log found when it was opened.
type Recovery struct {
	// Members are all registered members, sorted by uid, and those whose registration is lost.
	Members []Member
	// Deleted are the members whose deletion still stands in the files; what they left elsewhere may be removed.
	Deleted []ra.UID
	// Losses are the parts of the log that are damaged. All members that may have been in them carry a Mark.
	Losses []Loss
	// Torn says that the last batch is not whole, and void: a crash has cut it before it was acknowledged. What damages more than one
	// bit of it, if nothing vouches for it yet, looks the same: after a power cut, since a process that was killed leaves a
	// high-water mark.
	Torn bool
	// Unaccounted says that there are losses, found now or by an earlier start, of which nobody knows whose they are, so that whole
	// members may be gone with them. It stays so until Log.AcceptUnaccounted, and is so again only if more is damaged that may have
	// had members: what a state file accounts for hides none, and the acceptance writes one. If that is lost, too, nobody knows any
	// more what was accepted.
	Unaccounted bool
	// Quarantined are the names of the files that were moved to quarantine.
	Quarantined []string
	// HighWater says why nothing but the log itself told how far it had come: the high-water mark is missing, cannot be read,
	// or is that of another log. nil if it was there, or there is none (Config.HighWater), or the log is new.
	HighWater error
}

// Loss is a damaged part of the log.
type Loss struct {
	// File is the number of the WAL file, or the first one of a gap, and Offset where in it the damage begins; 0 for the whole file.
	File   uint64
	Offset int64
	// Attributed says that it is known whose the loss is: the table of the damaged batch survived, so that only entries of
	// some members are lost, or what stands behind it tells who wrote in it.
	Attributed bool
}

// recovery reads what is on the disk.
type recovery struct {
	l      *Log
	out    *Recovery
	replay *replay
	inv    inventory
	next   uint64 // number of the next batch
	last   lastFile
	// marks are the high-water marks that are sound, up to two, and marked says that one of them is this log's. floor is what
	// the log must hold at least, and words are what its WAL files are known by: by the marks, and by the state files.
	marks  []highWater
	marked bool
	floor  floor
	words  []word
	// found are the state files, headers those of the WAL files, and bad says why a WAL file has none that counts.
	found   []foundState
	headers map[uint64]*fileHeader
	bad     map[uint64]error
	// newest is the state file that the replay starts with, nil if there is none.
	newest *foundState
	// hiding says that this start has found a loss with which members may be gone without a trace.
	hiding bool
	// strangers are the names of what is as if it were not there, and condemned the files that go to quarantine in the end.
	strangers []string
	condemned []string
	noted     []uint64 // WAL files that are known to be damaged
	// again is the batch that is written again, and newMarks has the marks that are not durable yet.
	again, newMarks *Batch
}

// floor is how far the log had come at least.
type floor struct {
	file  uint64 // number of a WAL file that there was
	batch uint64 // all with lower numbers were durable
}

// raise makes it no less than that.
func (f *floor) raise(file, batch uint64) {
	f.file, f.batch = max(f.file, file), max(f.batch, batch)
}

// lastFile is what the header of the next file has to say about the last one.
type lastFile struct {
	seq, id   uint64
	end       int64
	continues bool // the next file existed
	// carry is the last batch if nothing vouches for it: it may stand in a cache and not on the disk, and so is written
	// again, to the next file.
	carry []carried
}

// carried is a row that is written again.
type carried struct {
	row     row
	uid     ra.UID
	entries []ra.Entry
}

// inventory is what the directory holds.
type inventory struct {
	files  []uint64 // WAL files, ascending
	states []uint64 // state files, ascending
	spares []uint64
}

// takeInventory reads the directory, and removes what a crash left half made.
//
// The names that it finds may not be durable yet, if another start was cut short. What is written from now on builds on
// them, so they are made durable first.
func (r *recovery) takeInventory() error {
	if err := r.l.cfg.FS.SyncDir(r.l.cfg.Dir); err != nil {
		return err
	}
	names, err := r.l.cfg.FS.List(r.l.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.sort(name); err != nil {
			return err
		}
	}
	return nil
}

// sort finds the place of one name.
func (r *recovery) sort(name string) error {
	lists := []struct {
		suffix string
		list   *[]uint64
	}{{walSuffix, &r.inv.files}, {stateSuffix, &r.inv.states}, {spareSuffix, &r.inv.spares}}
	for _, x := range lists {
		if n, ok := number(name, x.suffix); ok && (n < farNumber || r.says(name, n)) {
			*x.list = append(*x.list, n)
			return nil
		}
	}
	if _, temp := number(name, spareSuffix+tempSuffix); temp || name == stateTemp {
		return r.l.cfg.FS.Remove(r.l.path(name))
	}
	switch name {
	case lockName:
		return nil
	case lostName:
		r.out.Unaccounted = true
		return nil
	case vfs.Quarantine + "/":
		return r.readNotes()
	}
	r.strangers = append(r.strangers, strings.TrimSuffix(name, "/"))
	return nil
}

// expelStrangers moves what is as if it were not there to quarantine, before a new file gets a name that may be in use. By then it
// is known that all else is in this format: a later one may have files that this program does not know.
func (r *recovery) expelStrangers() error {
	for _, name := range r.strangers {
		if err := r.quarantine(name); err != nil {
			return err
		}
	}
	return nil
}

// says reports whether a file says that it has the number in its name. Spares say nothing. One that the disk refuses to read, or
// that is in a format which this program does not know, passes for one that does: who needs it does not open the log then.
func (r *recovery) says(name string, n uint64) bool {
	var said uint64
	var err error
	switch path.Ext(name) {
	case walSuffix:
		var h fileHeader
		h, err = r.readHeader(n)
		said = h.seq
	case stateSuffix:
		var s *stateFile
		if s, err = r.l.readState(name); err == nil {
			said = s.gen
		}
	}
	if err != nil {
		return !errors.Is(err, ra.ErrCorrupt)
	}
	return said == n
}

func (r *recovery) quarantine(name string) error {
	r.out.Quarantined = append(r.out.Quarantined, name)
	return vfs.ToQuarantine(r.l.cfg.FS, r.l.cfg.Dir, name)
}

// condemn has a file moved to quarantine once what it has cost is durable: until then it may be all that tells of that, and a
// start that is cut short changes nothing for the next one.
func (r *recovery) condemn(name string) {
	r.out.Quarantined = append(r.out.Quarantined, name)
	r.condemned = append(r.condemned, name)
}

// clear moves what is condemned to quarantine: state files first, lest one is believed when what contradicts it is gone.
func (r *recovery) clear() error {
	for _, name := range r.condemned {
		if err := vfs.ToQuarantine(r.l.cfg.FS, r.l.cfg.Dir, name); err != nil {
			return err
		}
	}
	return nil
}

// foundState is a state file under the generation in its name; without content if that is not sound.
type foundState struct {
	name uint64
	*stateFile
}

// sound reports whether the file is what its name says.
func (s *foundState) sound() bool { return s.stateFile != nil && s.gen == s.name }

// loadState starts the replay with the newest state file. Which one that is its content tells and not its name, in case
// files have changed places.
func (r *recovery) loadState() error {
	var newest *foundState
	for i := range r.found {
		if s := &r.found[i]; s.stateFile != nil && (newest == nil || s.gen > newest.gen) {
			newest = s
		}
	}
	for _, s := range slices.Backward(r.found) {
		if !s.sound() {
			r.condemn(stateName(s.name))
		}
	}
	if r.newest = newest; newest == nil {
		r.replay = newReplay(nil)
		return nil
	}
	state := newest.stateFile
	r.replay = newReplay(state)
	r.l.states.released, r.next = state.released, state.batch
	r.last.seq = state.released
	r.floor.raise(state.current, state.batch)
	return nil
}

// readStates reads all state files, in the order of their names. There are two, or a few more after a crash. One that
// twice cannot be read counts as damaged only if another can, still: otherwise the disk may be at fault, and nothing is changed.
func (r *recovery) readStates() error {
	var cause error
	for _, name := range r.inv.states {
		r.l.states.gen = max(r.l.states.gen, name)
		s, err := r.l.readState(stateName(name))
		if errors.Is(err, errUnreadable) { // once is nothing
			s, err = r.l.readState(stateName(name))
		}
		switch {
		case errors.Is(err, errUnreadable):
			cause = err
		case errors.Is(err, errVersion):
			return fmt.Errorf("%s: %w", r.l.path(stateName(name)), err)
		case err != nil && !errors.Is(err, ra.ErrCorrupt):
			return err
		}
		r.found = append(r.found, foundState{name: name, stateFile: s})
	}
	if cause != nil && !r.readsOn() {
		return cause
	}
	return nil
}

// readsOn reports whether one of the state files that were read can be read once more: the disk may have failed since.
func (r *recovery) readsOn() bool {
	return slices.ContainsFunc(r.found, func(s foundState) bool {
		if s.stateFile == nil {
			return false
		}
		_, err := r.l.readState(stateName(s.name))
		return err == nil
	})
}

// tidyStates gives the newest state file a name of its own if it is another one than its name says, since the next start does
// not look for it in quarantine. Of those before it one is left.
func (r *recovery) tidyStates() error {
	newest := r.newest
	if newest == nil {
		return nil
	}
	sound := &r.l.states.sound
	if sound[1] = newest.gen; !newest.sound() {
		r.l.states.gen++
		again := *newest.stateFile
		again.gen = r.l.states.gen
		if err := r.l.writeState(&again); err != nil {
			return err
		}
		sound[1] = again.gen
	}
	for _, s := range slices.Backward(r.found) {
		switch {
		case !s.sound() || s.name >= newest.gen:
		case sound[0] == 0:
			sound[0] = s.name
		default:
			if err := r.l.cfg.FS.Remove(r.l.path(stateName(s.name))); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFiles replays all WAL files that are not released.
func (r *recovery) readFiles() error {
	if err := r.sortFiles(); err != nil {
		return err
	}
	headers := r.headers
	r.next = max(r.next, r.floor.batch)
	highest := r.highest()
	from := r.last.seq + 1
	if r.replay.state == nil && len(headers) > 0 {
		from = r.firstWithoutState()
	}
	for seq := from; seq <= highest; seq++ {
		seq = r.skipGap(seq, highest, headers)
		if err := r.readOne(seq, headers); err != nil {
			return err
		}
	}
	if r.last.continues {
		r.missing(r.last.seq+1, nil)
	}
	return nil
}

// skipGap returns the number of the last file in a row of missing ones that begins at seq, and notes the loss of those
// before it as one: a name that does not belong here may open a gap that nobody could count through.
func (r *recovery) skipGap(seq, highest uint64, headers map[uint64]*fileHeader) uint64 {
	if headers[seq] != nil || headers[seq+1] != nil || seq == highest {
		return seq
	}
	end := highest
	for have := range headers {
		if have > seq {
			end = min(end, have-1)
		}
	}
	r.missing(seq, nil)
	return end
}

// firstWithoutState returns the number of the first file there is to read when there is no state file. That is the first
// file of all, unless state files were lost.
func (r *recovery) firstWithoutState() uint64 {
	first := r.inv.files[0]
	if first > 1 {
		r.loss(Loss{File: first - 1}, ^uint64(0))
	}
	return first
}

// loss notes a loss. If it is not attributed, all batches that are lost have numbers below before.
func (r *recovery) loss(loss Loss, before uint64) {
	r.tell(loss, before)
	if !loss.Attributed {
		r.replay.lose(before)
	}
}

// tell is loss for one that the members know. A state file names all that there were before its batch, so that nobody is gone
// with batches of lower numbers; what a recovery has found that was cut short is no exception.
func (r *recovery) tell(loss Loss, before uint64) {
	r.out.Losses = append(r.out.Losses, loss)
	if !loss.Attributed && (r.newest == nil || r.newest.batch < before) {
		r.hiding = true
	}
}

// readHeaders reads the headers of all WAL files. Nothing is changed yet, since nobody knows which files are needed.
// A file in a format that is not known is an error, also if it is released: a later program may know what it is for.
func (r *recovery) readHeaders() error {
	r.headers, r.bad = make(map[uint64]*fileHeader), make(map[uint64]error)
	for _, seq := range r.inv.files {
		h, err := r.readHeader(seq)
		switch {
		case errors.Is(err, errVersion):
			return fmt.Errorf("%s: %w", r.l.path(fileName(seq)), err)
		case err != nil:
			r.bad[seq] = err
		default:
			r.headers[seq] = &h
		}
	}
	return nil
}

// sortFiles leaves in headers those of the files that are needed. Files that have none, or another file's or log's, go to
// quarantine. A released file is dispensable whatever a crash made of it while it was recycled, but not if it is another
// log's, or one that this log misses: who knows who puts it back.
func (r *recovery) sortFiles() error {
	highest := r.highest()
	r.expel()
	r.fork()
	for _, seq := range r.inv.files {
		h, err := r.headers[seq], r.bad[seq]
		wrong := errors.Is(err, ra.ErrCorrupt) || h != nil && h.seq != seq
		switch {
		case errors.Is(err, errStranger) || errors.Is(err, errFork) || wrong && (seq > r.l.states.released || r.missed(h, highest)):
			delete(r.headers, seq)
			r.condemn(fileName(seq))
		case seq <= r.l.states.released:
			delete(r.headers, seq)
			r.l.lingering = append(r.l.lingering, &Closed{Seq: seq, name: fileName(seq), damaged: r.isNoted(seq)})
		case err != nil:
			return err
		}
	}
	return nil
}

// highest returns the number of the newest WAL file that there was, as far as anything tells.
func (r *recovery) highest() uint64 {
	highest := r.floor.file
	if n := len(r.inv.files); n > 0 {
		highest = max(highest, r.inv.files[n-1])
	}
	return highest
}

// missed reports whether what lies under the name of a released file is one that is not released, and is not where it should be. What
// was being recycled when a crash came is there under its new name, too, or has a higher number than any that there was.
func (r *recovery) missed(h *fileHeader, highest uint64) bool {
	return h != nil && h.seq > r.l.states.released && h.seq <= highest && r.own(h.seq) == nil
}

// expel makes strangers of files of which a sound header says that they have another number, or are another log's: copies that
// somebody put here. If there was one of the number that the name says, the mark knows, or the file before it does; without a
// mark that is not certain enough.
func (r *recovery) expel() {
	if !r.marked {
		return
	}
	var own []uint64
	for _, seq := range r.inv.files {
		h := r.headers[seq]
		if h == nil || r.own(seq) != nil || seq <= r.l.states.released {
			own = append(own, seq)
			continue
		}
		delete(r.headers, seq)
		r.strangers = append(r.strangers, fileName(seq))
	}
	r.inv.files = own
}

func (r *recovery) readHeader(seq uint64) (fileHeader, error) {
	src, err := r.open(seq)
	if err != nil {
		return fileHeader{}, err
	}
	defer src.f.Close()
	return src.readFileHeader()
}

// open opens a WAL file for reading.
func (r *recovery) open(seq uint64) (*source, error) {
	f, err := r.l.cfg.FS.Open(r.l.path(fileName(seq)), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &source{f: f, size: size}, nil
}

// readOne replays the file seq.
func (r *recovery) readOne(seq uint64, headers map[uint64]*fileHeader) error {
	h, next := headers[seq], headers[seq+1]
	if h == nil {
		r.missing(seq, next)
		return nil
	}
	src, err := r.open(seq)
	if err != nil {
		return err
	}
	defer src.f.Close()
	short := uint64(src.size) < h.size
	src.size = int64(min(uint64(src.size), h.size)) // what stands behind is not of the log
	w := &walk{
		r: r, src: src, h: h, off: headerSize, seq: h.firstBatch, chain: h.chain(), end: src.size &^ (block - 1),
		numbers: make(map[uint32]int), after: r.behind(seq),
	}
	r.next = max(r.next, h.firstBatch)
	if next != nil {
		w.confirm(next)
	}
	// A file has its full length before it has its name.
	w.short = w.short || !w.confirmed && short
	w.run()
	if src.dead != nil {
		return src.dead
	}
	r.l.closed = append(r.l.closed, &Closed{
		Seq: seq, Spans: w.spans, name: fileName(seq), size: src.size, damaged: w.damaged || r.isNoted(seq),
	})
	return nil
}

// confirm takes from the header of the next file, which goes on from this one, up to where everything in this one was durable.
func (w *walk) confirm(next *fileHeader) {
	w.short = next.prevEnd > uint64(w.end)
	w.end, w.confirmed = int64(min(next.prevEnd, uint64(w.end))), true
}

// missing notes that the file seq is not there. That is a loss, unless the next file says that its loss was known when
// that one was begun. It is told all the same until a recovery has come to its end that knew it: nobody has heard of it before.
func (r *recovery) missing(seq uint64, next *fileHeader) {
	r.last = lastFile{seq: seq}
	loss := Loss{File: seq}
	if next == nil || next.prevSeq != seq || next.prevEnd != 0 {
		r.loss(loss, r.behind(seq))
		return
	}
	// Whoever may have lost something has a mark in the next file, unless that was lost, too.
	r.replay.lose(next.firstBatch)
	if r.marked && r.floor.file < next.seq {
		r.tell(loss, next.firstBatch)
	}
}

// behind returns the number of the first batch behind the file seq and those that are missing behind it: theirs are lower.
func (r *recovery) behind(seq uint64) uint64 {
	for _, next := range r.inv.files {
		if h := r.headers[next]; h != nil && next > seq {
			return h.firstBatch
		}
	}
	return ^uint64(0)
}
