// Package rafttest drives the shipping member, core, log, write-ahead log, segments and snapshots through seeded
// schedules of everything that can go wrong: messages that are lost, doubled, late and out of order, partitions, crashes
// at any operation of the disk, recovery included, that lose what was not durable, slow, stalled, full and failing disks,
// processes that end and start again, orderly stops, members that join and leave, clusters that are deleted and started
// anew under their names, newer code of the machines. After every event the invariants of Raft are checked against what the
// simulator alone knows; then everything that goes wrong ends, and all clusters must heal.
//
// The same seed makes the same run, event by event, so whatever fails is repeated by its seed, and Minimise looks for the
// shortest run that fails in the same way. Workloads are courses of events without chance, in which a Strike, a crash or an
// error, can be tried at each single operation of a disk; Points lists all of them. The command in the directory campaign
// runs all this in large numbers, and keeps account.
//
// The package makes no compatibility promise.
package rafttest

import (
	"fmt"
	"hash/fnv"
	"io"
	"runtime"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Options say which schedule to run.
type Options struct {
	// Seed fixes everything.
	Seed uint64
	// Events is how many events happen while things go wrong. Then all faults end, and the clusters must heal.
	Events int
	// Trace, if not nil, is told every event in a line.
	Trace io.Writer
	// Profile replaces the one that the seed draws, if not nil. Weather draws it instead of Seed, if not 0. Calm names the
	// kinds of weather that do not come, see Kinds, and Skip the numbers of faults that do not happen, from 1 in their order.
	Profile *Profile
	Weather uint64
	Calm    []string
	Skip    []int
	// tripwire, if not nil, is a test's own invariant.
	tripwire func(*sim) error
	// sober: no nonsense, and nobody is curious.
	sober bool
	// Strike, if not nil, is what happens beside what the profile brings.
	Strike *Strike
}

// Run runs one schedule. The error, if any, is a *Failure.
func Run(o Options) (Outcome, error) {
	s := newSim(o)
	err := s.runSafely()
	return s.outcome(), err
}

// runSafely makes a panic a failure.
func (s *sim) runSafely() (err error) {
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 16<<10)
			s.broken = fmt.Errorf("panic: %v\n%s", v, buf[:runtime.Stack(buf, false)])
			err = s.failure()
		}
	}()
	return s.run()
}

// failure describes what was broken.
func (s *sim) failure() *Failure {
	return &Failure{Seed: s.opts.Seed, Events: s.opts.Events, Event: s.events, Faults: s.hits, Err: s.broken}
}

// Failure is a run that broke an invariant.
type Failure struct {
	Seed   uint64
	Events int
	Event  int // the one after which it showed
	Faults int // how many came before
	Err    error
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, event %d: %v", f.Seed, f.Event, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// sim is one run.
type sim struct {
	opts    Options
	profile Profile
	dice    dice
	jester  jester
	// onlooker are the dice of those who ask and change nothing.
	onlooker dice
	queue    queue
	now      time.Duration
	events   int
	healing  bool
	hits     int // faults so far, those that are skipped included

	nodes    []*node
	clusters []*cluster
	clients  []*client
	cut      [][]bool          // cut[a][b]: messages from a to b vanish
	arrivals [][]time.Duration // when the last message from a to b arrives that kept its place

	done    Outcome // so far
	digest  hash64
	script  func(*sim)
	calmOps Operations // before the healing
	broken  error
}

type hash64 interface {
	io.Writer
	Sum64() uint64
}

// cluster is one cluster and what is true of it.
type cluster struct {
	id      int
	name    string
	place   int     // the first node
	members []*peer // all there ever were
	initial []ra.Member
	joined  int // members that came later
	truth   *truth
	book    book
	change  *changing // that somebody asked for last
	// forced: the cluster was deleted by force. replaced: another one has its name, or will have.
	forced, replaced bool
}

func newSim(o Options) *sim {
	s := &sim{opts: o, dice: newDice(o.Seed), jester: jester{newDice(^o.Seed)}, onlooker: newDice(o.Seed << 1), digest: fnv.New64a()}
	if o.Profile != nil {
		s.profile = *o.Profile
	} else {
		weather, from := s.dice, o.Seed
		if o.Weather != 0 && o.Weather != o.Seed {
			weather, from = newDice(o.Weather), o.Weather
		}
		s.profile = drawProfile(weather)
		s.profile.makeRare(from)
	}
	s.profile.soothe(o.Calm)
	p := &s.profile
	s.cut = make([][]bool, p.Nodes)
	s.arrivals = make([][]time.Duration, p.Nodes)
	for i := range p.Nodes {
		s.arrivals[i] = make([]time.Duration, p.Nodes)
		s.cut[i] = make([]bool, p.Nodes)
		s.nodes = append(s.nodes, newNode(s, i))
	}
	for c := range p.Clusters {
		s.clusters = append(s.clusters, s.newCluster(c, fmt.Sprint("c", c), c))
	}
	for i := range p.Clients {
		s.clients = append(s.clients, &client{id: i})
	}
	return s
}

// newCluster plans a cluster with its members on as many nodes, from the given one on.
func (s *sim) newCluster(id int, name string, place int) *cluster {
	c := &cluster{id: id, name: name, place: place, book: newBook(), truth: newTruth()}
	for i := range s.profile.Members {
		n := s.nodes[(place+i)%len(s.nodes)]
		p := s.newPeer(c, n, fmt.Sprintf("c%d_%d", id, n.id))
		c.initial = append(c.initial, ra.Member{ID: p.id(), UID: p.uid})
	}
	for _, p := range c.members {
		p.initial = c.initial
	}
	return c
}

// newPeer plans a member on a node.
func (s *sim) newPeer(c *cluster, n *node, uid string) *peer {
	p := &peer{sim: s, node: n, cluster: c, uid: ra.UID(uid)}
	c.members = append(c.members, p)
	n.peers = append(n.peers, p)
	c.truth.joins(p.uid)
	return p
}

// peer returns the member of that uid, or nil.
func (c *cluster) peer(uid ra.UID) *peer {
	for _, p := range c.members {
		if p.uid == uid {
			return p
		}
	}
	return nil
}

// on returns the cluster's member on a node, or nil.
func (c *cluster) on(n *node) *peer {
	for _, p := range c.members {
		if p.node == n && !p.gone {
			return p
		}
	}
	return nil
}

// run starts everything, lets it go wrong for a while, and then lets it heal.
func (s *sim) run() error {
	for _, n := range s.nodes {
		s.plan(0, event{kind: evRestart, node: n})
	}
	for !s.begun() && s.broken == nil {
		s.happen()
	}
	for _, c := range s.clusters {
		s.plan(time.Millisecond, event{kind: evCampaign, peer: c.members[s.dice.IntN(len(c.members))]})
	}
	for _, c := range s.clients {
		s.plan(s.dice.between(0, s.profile.Command), event{kind: evClient, client: c})
	}
	if s.profile.Fault > 0 {
		s.plan(s.dice.between(0, s.profile.Fault), event{kind: evFault})
	}
	if s.profile.Recreate > 0 {
		s.plan(s.dice.between(0, s.profile.Recreate), event{kind: evRecreate})
	}
	if s.profile.Change > 0 {
		s.plan(s.dice.between(0, s.profile.Change), event{kind: evChange})
	}
	if s.script != nil {
		s.script(s)
	}
	for s.events < s.opts.Events*max(s.profile.Lasts, 1) && s.queue.len() > 0 && s.broken == nil {
		s.happen()
	}
	if s.broken == nil {
		s.heal()
	}
	if s.broken != nil {
		return s.failure()
	}
	return nil
}

// begun reports whether the first members are registered and run.
func (s *sim) begun() bool {
	for _, c := range s.clusters {
		for _, p := range c.members {
			if !p.alive() {
				return false
			}
		}
	}
	return true
}

// plan lets ev happen after a delay.
func (s *sim) plan(after time.Duration, ev event) { s.queue.plan(s.now+after, ev) }

// happen takes the next event, lets it happen, and looks for broken invariants.
func (s *sim) happen() {
	p := s.queue.take()
	s.now = p.at
	s.events++
	s.record(&p)
	s.meet(&p.do)
	for _, c := range s.clusters {
		if c.truth.broken != nil && s.broken == nil {
			s.broken = fmt.Errorf("cluster %d: %w", c.id, c.truth.broken)
		}
	}
	if s.opts.tripwire != nil && s.broken == nil {
		s.broken = s.opts.tripwire(s)
	}
}

// record adds an event to the digest and the trace.
func (s *sim) record(p *planned) {
	var b [24]byte
	put(b[0:], uint64(p.at))
	put(b[8:], uint64(p.do.kind)|p.do.gen<<8)
	if p.do.peer != nil {
		put(b[16:], uint64(p.do.peer.node.id)<<32|uint64(p.do.peer.cluster.id)<<16)
	}
	if m := p.do.message; m != nil {
		b[16] = byte(m.Kind)
		b[17] ^= byte(m.Term)
		put(b[0:], uint64(p.at)^uint64(m.Index)<<40^uint64(m.Commit)<<20)
	}
	s.digest.Write(b[:])
	if s.opts.Trace != nil {
		fmt.Fprintf(s.opts.Trace, "%6d %12v %s\n", s.events, p.at, p.do.String())
	}
}

func put(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

// breach records a violation that belongs to no cluster's truth.
func (s *sim) breach(invariant, format string, args ...any) {
	if s.broken == nil {
		s.broken = &Violation{invariant, fmt.Sprintf(format, args...)}
	}
}

// The bounds of healing: virtual time, and events as a guard against a world that is busy for nothing.
const (
	healTime   = 120 * time.Second
	healEvents = 200_000
)

// heal ends all faults, and checks that every cluster comes to one leader, serves a command, and brings all members to
// the same state within a bound (I18), with every acknowledged command in it (I9).
func (s *sim) heal() {
	s.healing = true
	for _, n := range s.nodes {
		s.calmOps.All, s.calmOps.Changes = append(s.calmOps.All, n.operations), append(s.calmOps.Changes, n.changes)
	}
	s.profile.LoseOneIn, s.profile.TwiceOneIn, s.profile.ReorderOneIn = 0, 0, 0
	s.profile.StallOneIn, s.profile.LateOneIn, s.profile.StaleOneIn, s.profile.Fault = 0, 0, 0, 0
	s.profile.Sync, s.profile.Delay = min(s.profile.Sync, time.Millisecond), min(s.profile.Delay, time.Millisecond)
	s.reconnect()
	s.profile.Flush = min(s.profile.Flush, time.Millisecond)
	code := s.newestCode()
	for _, n := range s.nodes {
		n.code = code
		n.fs.Heal()
		n.fuse.left = 0
		n.disk.SetCapacity(0)
		if !n.up {
			n.restart()
		}
	}
	s.modernize()
	s.plan(time.Second, event{kind: evNudge})
	if !s.goOn(s.healed) {
		s.breach("I18", "not healed after %v and %d events: %s", s.now, s.events, s.describe())
	}
	for _, c := range s.clusters {
		c.settle(s)
	}
	if !s.goOn(s.flushed) {
		s.breach("I20", "full files of a log are not flushed after %v and %d events", s.now, s.events)
	}
	for _, n := range s.nodes {
		n.tidy()
	}
}

// goOn lets events happen until something holds, and reports whether it does within the bounds.
func (s *sim) goOn(holds func() bool) bool {
	end, last := s.now+healTime, s.events+healEvents*max(s.profile.Lasts, 1)
	for s.broken == nil && !holds() {
		if s.queue.len() == 0 || s.now > end || s.events > last {
			return false
		}
		s.happen()
	}
	return true
}

// flushed reports whether no full file of a log waits.
func (s *sim) flushed() bool {
	for _, n := range s.nodes {
		if n.up && len(n.log.Closed()) > 0 {
			return false
		}
	}
	return true
}

// maxFiles bounds what may be in a log's directory when all is well: the file that is written, spares, those of the last
// release, two state files, the lock and the quarantine.
const maxFiles = 12

// tidy looks at what is left on a disk. I20: files come and go, and none is forgotten.
func (n *node) tidy() {
	names, err := n.disk.List("wal")
	if err != nil || len(names) > maxFiles {
		n.sim.breach("I20", "n%d has %d files in its log: %v, %v", n.id, len(names), names, err)
	}
}

// healed reports whether every cluster has a leader that committed in its term, all members have applied everything,
// and no call is without an answer.
func (s *sim) healed() bool {
	code := s.newestCode()
	for _, c := range s.clusters {
		if !c.healed(code) {
			return false
		}
	}
	return true
}

// healed is that for one cluster. All members have the newest code by now, so that it must be in force (VER-04).
func (c *cluster) healed(code machine.Version) bool {
	if c.closed() {
		return c.dead()
	}
	if state, _ := c.truth.stateAt(ra.Index(len(c.truth.committed))); state.version != code {
		return false
	}
	if !c.book.probed || c.book.open > 0 {
		return false
	}
	for _, m := range c.current() {
		p := c.peer(m.UID)
		if !p.alive() || p.suspect || int(p.server.Status().Applied) != len(c.truth.committed) {
			return false
		}
	}
	return true
}

// settle checks what must be true in the end: every acknowledged command is in the states, which were compared all the
// time.
func (c *cluster) settle(s *sim) {
	for id := range c.book.acked {
		if c.book.applied[id] == 0 {
			s.breach("I9", "cluster %d: acknowledged command %d is lost", c.id, id)
		}
	}
}

// describe tells the state of all members, for a failure.
func (s *sim) describe() string {
	text := ""
	for _, c := range s.clusters {
		text += fmt.Sprintf("cluster %d (committed %d, members %v, open calls %d, probed %v):", c.id, len(c.truth.committed), c.current(), c.book.open, c.book.probed)
		for _, p := range c.members {
			if p.alive() {
				text += fmt.Sprintf(" [%s %+v %v]", p.uid, p.server.Status(), p.server.Core())
			}
		}
		text += "; "
	}
	return text
}
