package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// The errors of this package, beside those of package ra.
var (
	// ErrStale says that a snapshot of the same or a higher index is in place already. The file is removed.
	ErrStale = errors.New("snapshot: a newer one is in place")
	// ErrBusy says that this very snapshot is being written or received already.
	ErrBusy = errors.New("snapshot: is being written already")
	// ErrNone says that a member has no snapshot.
	ErrNone = errors.New("snapshot: there is none")
)

// maxLevel is the highest level of compression.
const maxLevel = 22

// Config says where the snapshots of a node are and what they may cost. FS is needed; the zero value of everything else
// works.
type Config struct {
	FS vfs.FS
	// Dir is the directory below the file system's root; it is made if it does not exist.
	Dir string
	// Level is the level of compression as zstd counts it, 1 to 22; 0 is 1, the fastest.
	Level int
	// MaxFile bounds a snapshot that is received, in bytes as they lie on the disk; 64 GiB if 0.
	MaxFile int64
	// MaxState bounds the decompressed state of a snapshot that is read, in bytes; no bound if 0. What is decoded is never
	// more than the footer says, whatever the compressed stream pretends.
	MaxState int64
}

// validate checks the configuration and fills in what was left out.
func (c *Config) validate() error {
	if c.FS == nil {
		return errors.New("snapshot: Config.FS is missing")
	}
	if c.Level < 0 || c.Level > maxLevel || c.MaxFile < 0 || c.MaxState < 0 {
		return errors.New("snapshot: limit out of range in Config")
	}
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.Level == 0 {
		c.Level = 1
	}
	if c.MaxFile == 0 {
		c.MaxFile = 64 << 30
	}
	return nil
}

// Info describes a snapshot that is in place.
type Info struct {
	UID   ra.UID
	Index ra.Index
	Term  ra.Term
	// Era is that of the member which it is of; see Store.AcceptLoss.
	Era uint32
	// Size is that of the file in bytes, State that of the machine's state before compression.
	Size, State int64
	// Recovery says that it is a recovery checkpoint.
	Recovery bool
	// Owner is whose state it is, if it was found when the store was opened and says so.
	Owner

	at place
}

func (i *Info) id() id { return id{uid: i.UID, index: i.Index, term: i.Term, era: i.Era} }

// Report is what Open found that is not as it should be.
type Report struct {
	// Damaged are snapshots that do not check. They are in quarantine.
	Damaged []DamagedSnapshot
	// Lost are all snapshots in quarantine, this time's and those of earlier times, unless their loss was accepted. Their
	// members once had everything up to there: if log and snapshot of one do not reach so far, it has lost something.
	Lost []Info
	// Quarantined are the names of everything that was moved to quarantine, damaged snapshots included.
	Quarantined []string
}

// DamagedSnapshot is a snapshot that does not check.
type DamagedSnapshot struct {
	UID   ra.UID
	Index ra.Index
	Term  ra.Term
	// Fallback is the index of the older snapshot that is used instead, 0 if there is none.
	Fallback ra.Index
	Cause    error
}

// Store is the snapshots of one node: of each member the newest. All methods may be called by any goroutine at any time.
// Writers, readers and receivers belong to one goroutine each.
type Store struct {
	cfg Config

	packing  sync.Mutex // held while a pack is written, and before publish
	lastPack uint64     // the number of the last pack; guarded by packing
	dropped  bool       // packs were removed, but not durably yet; guarded by packing

	publish sync.Mutex // held while a snapshot takes its place

	mu   sync.Mutex // guards what follows; held for moments only
	held map[ra.UID]Info
	// checkpoints by ascending index, all above that of the snapshot.
	checkpoints map[ra.UID][]Info
	busy        map[string]bool // temporary files in use
	// left are files of members that are not in place, or no longer, and could not be removed. They do no harm as long as
	// there is their member: the next start removes them, or takes them for what they are.
	left  map[ra.UID][]string
	packs map[uint64]*packFile
	eras  map[ra.UID]uint32 // of members in one other than 0
}

// Open opens the snapshots of a node: it removes what a crash left half made, moves what it does not know to quarantine,
// finds the newest snapshot of each member that checks in every byte, and removes the older ones (SNAP-07). One that
// does not check goes to quarantine, and the next older one takes its place.
func Open(cfg Config) (*Store, *Report, error) {
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	s := &Store{
		cfg: cfg, held: make(map[ra.UID]Info),
		checkpoints: make(map[ra.UID][]Info), busy: make(map[string]bool),
		left: make(map[ra.UID][]string), packs: make(map[uint64]*packFile),
		eras: make(map[ra.UID]uint32),
	}
	o := opening{s: s, report: new(Report), found: make(map[ra.UID][]candidate), checkpoints: make(map[ra.UID][]id)}
	if err := o.run(); err != nil {
		return nil, nil, err
	}
	return s, o.report, nil
}

// candidate is a snapshot that was found.
type candidate struct {
	id
	at place
}

// opening is an Open under way.
type opening struct {
	s      *Store
	report *Report
	found  map[ra.UID][]candidate
	// checkpoints are those found, of each member.
	checkpoints map[ra.UID][]id
}

func (o *opening) run() error {
	fs, dir := o.s.cfg.FS, o.s.cfg.Dir
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.meet(name); err != nil {
			return err
		}
	}
	// What a crash left visible but not durable must not be built upon, least of all by removing older ones.
	if err := fs.SyncDir(dir); err != nil {
		return err
	}
	for uid, all := range o.found {
		if err := o.choose(uid, all); err != nil {
			return err
		}
	}
	if err := o.tidyPacks(); err != nil {
		return err
	}
	for uid, ids := range o.checkpoints {
		if err := o.keepCheckpoints(uid, ids); err != nil {
			return err
		}
	}
	if o.report.Lost, err = o.s.inQuarantine(); err != nil {
		return err
	}
	slices.SortFunc(o.report.Damaged, func(a, b DamagedSnapshot) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(b.Index, a.Index))
	})
	return nil
}

// meet deals with one name of the directory.
func (o *opening) meet(name string) error {
	if n, ok := parseName(name); ok {
		if n.checkpoint {
			o.checkpoints[n.uid] = append(o.checkpoints[n.uid], n)
		} else {
			o.found[n.uid] = append(o.found[n.uid], candidate{id: n})
		}
		return nil
	}
	if number, ok := parsePackName(name); ok {
		return o.meetPack(number)
	}
	switch {
	case isTemp(name):
		return o.s.cfg.FS.Remove(o.s.path(name))
	case name == vfs.Quarantine+"/":
		return nil
	}
	if name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	return o.quarantine(name)
}

func (o *opening) quarantine(name string) error {
	o.report.Quarantined = append(o.report.Quarantined, name)
	return vfs.ToQuarantine(o.s.cfg.FS, o.s.cfg.Dir, name)
}

// choose finds the newest good snapshot of a member, of the last era that it has one of.
func (o *opening) choose(uid ra.UID, all []candidate) error {
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.era, a.era), cmp.Compare(b.index, a.index), cmp.Compare(b.term, a.term), cmp.Compare(b.at.pack, a.at.pack))
	})
	first := len(o.report.Damaged)
	for k, n := range all {
		info, err := o.s.inspect(n.id, n.at)
		if err == nil {
			o.s.held[uid] = info
			if f := o.s.packs[n.at.pack]; f != nil {
				f.count(n.at.size)
			}
			for i := range o.report.Damaged[first:] {
				o.report.Damaged[first+i].Fallback = n.index
			}
			o.s.raise(uid, n.era)
			return o.removeOlder(n.era, all[k+1:])
		}
		if !errors.Is(err, ra.ErrCorrupt) {
			return fmt.Errorf("%s: %w", n.id, err)
		}
		o.report.Damaged = append(o.report.Damaged, DamagedSnapshot{UID: uid, Index: n.index, Term: n.term, Cause: err})
		o.report.Quarantined = append(o.report.Quarantined, n.String())
		if err := o.s.toQuarantine(n.id, n.at); err != nil {
			return err
		}
	}
	return nil
}

// removeOlder removes the files of snapshots that are not needed any more, since there is one of that era. What is in packs goes with
// these. A file of an earlier era was put back by somebody, and goes to quarantine.
func (o *opening) removeOlder(era uint32, all []candidate) error {
	for _, n := range all {
		var err error
		switch {
		case n.at.pack != 0:
		case n.era < era:
			err = o.quarantine(n.String())
		default:
			err = o.removeAll([]id{n.id})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newestFirst sorts by falling index.
func newestFirst(ids []id) {
	slices.SortFunc(ids, func(a, b id) int { return cmp.Or(cmp.Compare(b.index, a.index), cmp.Compare(b.term, a.term)) })
}

func (o *opening) removeAll(ids []id) error {
	for _, n := range ids {
		if err := o.s.cfg.FS.Remove(o.s.path(n.String())); err != nil {
			return err
		}
	}
	return nil
}

// inspect checks a snapshot in every byte.
func (s *Store) inspect(n id, at place) (Info, error) {
	f, err := s.open(n, at)
	if err != nil {
		return Info{}, err
	}
	l, err := s.checkTwice(f, n)
	if err = errors.Join(err, f.Close()); err != nil {
		return Info{}, err
	}
	info := l.info(n)
	info.at = at
	return info, nil
}

// check reads all of a file and checks that it is the snapshot n.
func check(f sized, n id) (*layout, error) {
	l, err := layoutOf(f, n)
	if err != nil {
		return nil, err
	}
	return l, l.verify(f)
}

// layoutOf reads the ends of a file and checks that it is the snapshot n.
func layoutOf(f sized, n id) (*layout, error) {
	l, err := readLayout(f)
	if err == nil && (l.meta.Index != n.index || l.meta.Term != n.term) {
		return nil, corruptf("snapshot %s says that it is of index %d, term %d", n, l.meta.Index, l.meta.Term)
	}
	return l, err
}

func (l *layout) info(n id) Info {
	_, recovery := l.meta.Fields[recoveryField]
	return Info{
		UID: n.uid, Index: n.index, Term: n.term, Era: n.era, Size: l.size, State: int64(l.foot.raw), Recovery: recovery && n.checkpoint,
		Owner: l.meta.Owner(),
	}
}

// path returns the name of one of the store's files for the file system.
func (s *Store) path(name string) string { return path.Join(s.cfg.Dir, name) }

// Newest returns the snapshot of a member that is in place, if there is one.
func (s *Store) Newest(uid ra.UID) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, ok := s.held[uid]
	return info, ok
}

// UIDs returns all members with a snapshot, sorted.
func (s *Store) UIDs() []ra.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ra.UID, 0, len(s.held))
	for uid := range s.held {
		out = append(out, uid)
	}
	slices.Sort(out)
	return out
}

// Check reads the snapshot of a member again and reports with an error that wraps ra.ErrCorrupt if it has decayed. A
// leader whose peers refuse its snapshot can find out so if the fault is its own.
func (s *Store) Check(uid ra.UID) error {
	return s.CheckSlowly(uid, func(int) error { return nil })
}

// CheckSlowly is Check for those who have time: pace is told after each read how many bytes it was, and may wait. An
// error of its ends the check. What seems to have decayed is read again at once, without it.
func (s *Store) CheckSlowly(uid ra.UID, pace func(bytes int) error) error {
	f, info, err := s.openInForce(uid)
	if err != nil {
		return err
	}
	p := &paced{File: f, pace: pace}
	_, err = check(p, info.id())
	if err != nil && p.ended == nil {
		_, err = s.checkTwice(f, info.id())
	}
	return errors.Join(err, f.Close())
}

// paced is a file that is read slowly.
type paced struct {
	vfs.File
	pace  func(int) error
	ended error // pace's
}

// ReadAt reads, and then waits.
func (p *paced) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.File.ReadAt(b, off)
	if p.ended = p.pace(n); p.ended != nil {
		return n, p.ended
	}
	return n, err
}

// Remove removes the snapshot and the checkpoints of a member that is deleted for good, durably; what it has in packs, with
// the next Sweep.
func (s *Store) Remove(uid ra.UID) error {
	s.packing.Lock() // or else a pack might take it along
	defer s.packing.Unlock()
	s.publish.Lock()
	defer s.publish.Unlock()
	s.removeCheckpoints(uid, ra.Index(math.MaxUint64))
	if err := s.removeFiles(s.files(uid)); err != nil {
		return err
	}
	s.stain(uid)
	if info, ok := s.Newest(uid); ok {
		s.forget(info)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, uid)
	delete(s.eras, uid)
	return nil
}

// removeFiles removes files durably.
func (s *Store) removeFiles(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if err := s.cfg.FS.Remove(s.path(name)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return err
		}
	}
	return s.cfg.FS.SyncDir(s.cfg.Dir)
}

// files returns the names of all files of a member alone, but checkpoints in place.
func (s *Store) files(uid ra.UID) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Clone(s.left[uid])
	if info, ok := s.held[uid]; ok && info.at.pack == 0 {
		names = append(names, info.id().String())
	}
	return names
}

// leave notes that a file is there that should not be.
func (s *Store) leave(n id) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[n.uid] = append(s.left[n.uid], n.String())
}

// drop removes a file that nothing needs any more. If that fails the next start does it.
func (s *Store) drop(n id) {
	if err := s.cfg.FS.Remove(s.path(n.String())); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		s.leave(n)
	}
}

// create begins a temporary file for a snapshot.
func (s *Store) create(n id, suffix string) (vfs.File, string, error) {
	if err := n.check(); err != nil {
		return nil, "", err
	}
	name := n.String() + suffix
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[name] {
		return nil, "", fmt.Errorf("%w: %s", ErrBusy, n)
	}
	f, err := s.createFile(name)
	if err != nil {
		return nil, "", err
	}
	s.busy[name] = true
	return f, name, nil
}

// createFile makes an empty file, in the place of one that is left over from an attempt which could not even be removed.
func (s *Store) createFile(name string) (vfs.File, error) {
	f, err := s.cfg.FS.Create(s.path(name), vfs.Buffered)
	if !errors.Is(err, vfs.ErrExist) {
		return f, err
	}
	if err := s.cfg.FS.Remove(s.path(name)); err != nil {
		return nil, err
	}
	return s.cfg.FS.Create(s.path(name), vfs.Buffered)
}

// discard removes a temporary file. If that fails the next start does it.
func (s *Store) discard(name string) error {
	s.mu.Lock()
	delete(s.busy, name)
	s.mu.Unlock()
	return s.cfg.FS.Remove(s.path(name))
}

// install gives a durable temporary file its name, makes that durable, and only then removes the snapshot before it. If
// one of the same or a higher index is in place the file is removed instead (SNAP-05).
func (s *Store) install(temp string, info Info) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	before, had := s.Newest(info.UID)
	if had && before.Index >= info.Index || info.Era < s.era(info.UID) {
		return errors.Join(fmt.Errorf("%w: %d, this one is of %d", ErrStale, before.Index, info.Index), s.discard(temp))
	}
	if err := s.christen(temp, info.id()); err != nil {
		return err
	}
	return s.settle(info)
}

// christen gives a temporary file its name.
func (s *Store) christen(temp string, n id) error {
	if err := s.cfg.FS.Rename(s.path(temp), s.path(n.String())); err != nil {
		return errors.Join(err, s.discard(temp))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, temp)
	return nil
}

// settle makes the name of a new snapshot durable and removes what it stands in for. The caller holds publish.
func (s *Store) settle(info Info) error {
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		// It may come to be durable or not. Either is right as long as the one before stays.
		s.leave(info.id())
		return err
	}
	s.mu.Lock()
	before, ended := s.held[info.UID], info.Era < s.eras[info.UID]
	if !ended {
		s.held[info.UID] = info
	}
	s.mu.Unlock()
	if ended { // just now
		s.drop(info.id())
		return fmt.Errorf("%w: that of an earlier era", ErrStale)
	}
	s.release(before)
	s.removeCheckpoints(info.UID, info.Index)
	return nil
}
