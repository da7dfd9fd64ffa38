package raft

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "schedules of the random network test")
	simFirst = flag.Uint64("sim.first", 1, "seed of the first schedule")
	simSteps = flag.Int("sim.steps", 1500, "events of a schedule before its faults end")
)

// TestRandomNetwork runs seeded schedules of lossy, reordering networks, disks that confirm late, crashes, changes of
// members, snapshots and transfers, and checks I1 to I8 after every event. Then the faults end, and I18 is checked.
func TestRandomNetwork(t *testing.T) {
	events := 0
	defer func() { t.Logf("%d schedules, %d events", *simSeeds, events) }()
	for k := range *simSeeds {
		seed := *simFirst + uint64(k)
		s := newSim(seed)
		s.run(*simSteps)
		events += s.events
		if s.bad == "" {
			s.heal()
		}
		if s.bad != "" {
			t.Fatalf("seed %d, event %d: %s", seed, s.events, s.bad)
		}
	}
}

// TestSameSeedSameTrace: the core is deterministic (I17).
func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := newSim(seed), newSim(seed)
		a.run(600)
		b.run(600)
		if a.trace.Sum64() != b.trace.Sum64() {
			t.Fatalf("seed %d made two traces", seed)
		}
	}
}

// simOrder is a durable order on its way to the disk.
type simOrder struct {
	seq      uint64
	truncate ra.Index
	entries  []ra.Entry
	state    *ra.HardState
	repaired bool
}

// simDisk is a log with a snapshot below it.
type simDisk struct {
	state    ra.HardState
	snapshot Position
	members  []ra.Member // of the snapshot; the initial ones without
	log      []ra.Entry  // after snapshot
	orders   uint64      // that are on it, or more
	suspect  bool
}

func (d *simDisk) last() ra.Index { return d.snapshot.Index + ra.Index(len(d.log)) }

func (d *simDisk) term(i ra.Index) ra.Term {
	if i <= d.snapshot.Index || i > d.last() {
		return 0
	}
	return d.log[i-d.snapshot.Index-1].Term
}

func (d *simDisk) apply(o simOrder) {
	d.orders++
	d.suspect = d.suspect && !o.repaired
	if o.state != nil {
		d.state = *o.state
	}
	if o.truncate > d.snapshot.Index {
		d.log = d.log[:min(int(o.truncate-d.snapshot.Index-1), len(d.log))]
	}
	for _, e := range o.entries {
		if e.Index > d.snapshot.Index {
			d.log = append(slices.Clip(d.log), e)
		}
	}
}

// configuration returns the last one of snapshot and log.
func (d *simDisk) configuration() []ra.Member {
	for i := len(d.log) - 1; i >= 0; i-- {
		if e := &d.log[i]; e.Kind() == ra.KindConfig {
			members, _ := DecodeMembers(e.Payload())
			return members
		}
	}
	return d.members
}

// install puts a snapshot in force.
func (d *simDisk) install(p Position, members []ra.Member, keep bool) {
	var rest []ra.Entry
	if keep && d.last() > p.Index {
		rest = slices.Clone(d.log[p.Index-d.snapshot.Index:])
	}
	d.snapshot, d.members, d.log = p, members, rest
}

// simNode is one member with its small shell.
type simNode struct {
	uid       ra.UID
	raft      *Raft
	disk, mem simDisk // what is on disk; what will be when all orders are
	orders    []simOrder
	commit    ra.Index
	armed     bool
	tick      bool
	leader    ra.UID
	install   *SnapshotOrder
	queries   []simQuery
	query     uint64
	walDown   bool
	sent      []Message
	intact    *simDisk // what the disk had before it was damaged, until that is repaired
}

type simQuery struct {
	number uint64
	floor  ra.Index // what was committed anywhere when the query came
}

type sim struct {
	rng       *rand.Rand
	nodes     []*simNode
	net       []Message
	local     []func() // failure detectors: late, but never lost
	cut       map[[2]ra.UID]bool
	events    int
	bad       string
	committed []ra.Entry // of the whole cluster; committed[i] has index i+1
	decided   []ra.Term  // in which terms
	leaders   map[ra.Term]ra.UID
	votes     map[string]ra.UID
	trace     hashSum
	healing   bool
	stormy    bool
	frail     bool // disks lose entries, and the configuration stays
	limits    Limits
}

type hashSum interface {
	Write([]byte) (int, error)
	Sum64() uint64
}

var simInitial = members("a", "b", "c")

func newSim(seed uint64) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]ra.UID]bool{}, leaders: map[ra.Term]ra.UID{},
		votes: map[string]ra.UID{}, trace: fnv.New64a(), limits: DefaultLimits,
	}
	s.stormy = s.rng.IntN(2) == 0
	s.frail = s.rng.IntN(3) == 0
	s.limits.MaxEntriesPerAppend = 1 + s.rng.IntN(8)
	s.limits.MaxInflightEntries = s.limits.MaxEntriesPerAppend * (1 + s.rng.IntN(4))
	s.limits.MaxInflightBytes = 100 + s.rng.IntN(1000)
	for _, uid := range []ra.UID{"a", "b", "c", "d", "e"} {
		n := &simNode{uid: uid, disk: simDisk{members: simInitial}}
		s.nodes = append(s.nodes, n)
		s.start(n)
	}
	s.step(s.nodes[0], Message{Kind: Campaign})
	return s
}

func (s *sim) fail(format string, args ...any) {
	if s.bad == "" {
		s.bad = fmt.Sprintf(format, args...)
		for _, n := range s.nodes {
			if n.raft != nil {
				s.bad += "\n" + n.raft.Status().String()
			}
		}
	}
}

// node returns the member of that UID; one that never ran if there is none.
func (s *sim) node(uid ra.UID) *simNode {
	for _, n := range s.nodes {
		if n.uid == uid {
			return n
		}
	}
	return &simNode{}
}

// start opens a member from its disk.
func (s *sim) start(n *simNode) {
	restored := Restored{
		State: n.disk.state, Snapshot: n.disk.snapshot, Last: n.disk.last(),
		Configurations: []Configuration{{n.disk.snapshot.Index, n.disk.members}},
		Suspect:        n.disk.suspect, Epoch: n.disk.orders,
	}
	for _, e := range n.disk.log {
		if k := len(restored.Runs); k == 0 || restored.Runs[k-1].Term != e.Term {
			restored.Runs = append(restored.Runs, TermRun{e.Index, e.Term})
		}
		if e.Kind() == ra.KindConfig {
			members, _ := DecodeMembers(e.Payload())
			restored.Configurations = append(restored.Configurations, Configuration{e.Index, members})
		}
	}
	r, err := New(Config{Self: n.uid, Limits: &s.limits}, restored)
	if err != nil {
		s.fail("restart of %s: %v", n.uid, err)
		return
	}
	n.raft, n.orders, n.install, n.queries, n.sent = r, nil, nil, nil, nil
	n.mem = n.disk
	n.mem.log = slices.Clone(n.disk.log)
	n.commit, n.query, n.walDown, n.armed, n.tick = n.disk.snapshot.Index, 0, false, false, false
	n.leader = ""
	s.carryOut(n)
}

// crash stops a member. Some of the orders that were not confirmed may have reached the disk.
func (s *sim) crash(n *simNode) {
	for _, o := range n.orders[:s.rng.IntN(len(n.orders)+1)] {
		n.disk.apply(o)
		s.checkVote(n)
	}
	n.raft, n.orders, n.install, n.sent = nil, nil, nil, nil
	for _, other := range s.nodes {
		if other.raft != nil && other != n && other.raft.Leader() == n.uid {
			kind := LeaderDown
			if s.rng.IntN(3) == 0 {
				kind = LeaderLost
			}
			s.later(other, Message{Kind: kind, From: n.uid})
		}
	}
}

// later delivers what a failure detector saw, some time.
func (s *sim) later(n *simNode, m Message) {
	life := n.raft
	s.local = append(s.local, func() {
		if n.raft == life {
			s.step(n, m)
		}
	})
}

// step gives a member a message, sometimes as part of a batch, and carries out the orders.
func (s *sim) step(n *simNode, m Message) Result {
	if n.raft == nil || s.bad != "" {
		return Result{Refused: Stopped}
	}
	fmt.Fprint(s.trace, n.uid, m.Kind, m.From, m.Term, m.Index, m.Last, m.Commit, m.Reject)
	result := n.raft.Step(&m)
	if s.rng.IntN(4) > 0 || s.healing {
		s.carryOut(n)
	}
	return result
}

func (s *sim) carryOut(n *simNode) {
	if n.raft == nil {
		return
	}
	for i := range n.sent {
		n.raft.Step(&n.sent[i])
	}
	n.sent = nil
	o := n.raft.Orders()
	if o.Failed != nil {
		s.fail("%v", o.Failed)
		return
	}
	s.store(n, o)
	for i := range o.Messages {
		s.send(n, o.Messages[i])
	}
	s.apply(n, o)
	if o.Timer != TimerKeep {
		n.armed = o.Timer == TimerArm
	}
	n.tick = o.NeedTick
	if o.Leader != n.leader && s.node(o.Leader).raft == nil {
		s.later(n, Message{Kind: LeaderDown, From: o.Leader}) // a monitor of a dead process tells at once
	}
	n.leader = o.Leader
	s.answer(n, o)
	s.check(n, o)
	if o.Removed {
		s.crash(n) // the shell stops it, and its monitors tell
	}
}

func (s *sim) store(n *simNode, o *Orders) {
	if o.Seq != 0 {
		order := simOrder{seq: o.Seq, truncate: o.Truncate, entries: slices.Clone(o.Append), repaired: o.Repaired}
		if o.SaveState {
			state := o.State
			order.state = &state
		}
		n.orders = append(n.orders, order)
		n.mem.apply(order)
	}
	switch o.Snapshot.Op {
	case SnapshotAbort:
		if n.install != nil {
			s.fail("%s aborts a snapshot that is being put in force", n.uid)
		}
	case SnapshotStore:
		if o.Snapshot.Done {
			order := o.Snapshot
			n.install = &order
		}
	}
}

// sync confirms some of a member's orders.
func (s *sim) sync(n *simNode) {
	if n.raft == nil || len(n.orders) == 0 {
		return
	}
	k := 1 + s.rng.IntN(len(n.orders))
	seq := n.orders[k-1].seq
	for _, o := range n.orders[:k] {
		n.disk.apply(o)
		s.checkVote(n)
	}
	n.orders = n.orders[k:]
	s.checkRepair(n)
	s.step(n, Message{Kind: Written, Seq: seq})
}

// send puts a message on the net, with what the shell attaches to it.
func (s *sim) send(n *simNode, m Message) {
	s.checkSuspect(n, &m)
	switch m.Kind {
	case VoteReply:
		if !m.Reject && (n.disk.state != ra.HardState{Term: m.Term, Vote: m.To}) {
			s.fail("I2: %s gives its vote of term %d to %s before it is durable", n.uid, m.Term, m.To)
		}
	case VoteRequest:
		if (n.disk.state != ra.HardState{Term: m.Term, Vote: n.uid}) {
			s.fail("I2: %s asks for votes of term %d before its own is durable", n.uid, m.Term)
		}
	case AppendReply:
		if !m.Reject && (n.disk.last() < m.Index || n.disk.state.Term != m.Term) {
			s.fail("%s acknowledges %d of term %d, durable are %d of %d", n.uid, m.Index, m.Term, n.disk.last(), n.disk.state.Term)
		}
	case Append:
		if !s.attach(n, &m) {
			return
		}
	case InstallSnapshot:
		if n.mem.snapshot != (Position{m.Index, m.LogTerm}) {
			n.sent = append(n.sent, Message{Kind: Sent, To: m.To, Chunk: m.Chunk, Reject: true})
			return
		}
		m.Done = m.Chunk == 3
		m.Members = n.mem.members
		m.Data = []byte("chunk")
	}
	s.net = append(s.net, m)
}

// attach reads the entries of an append, sometimes fewer than asked for.
func (s *sim) attach(n *simNode, m *Message) bool {
	if m.Last == m.Index {
		return true
	}
	told := Message{Kind: Sent, To: m.To, Last: m.Last, Index: m.Last}
	if m.Index < n.mem.snapshot.Index {
		told.Reject = true
		n.sent = append(n.sent, told)
		return false
	}
	if s.rng.IntN(5) == 0 {
		told.Index = m.Index + 1
	}
	m.Entries = slices.Clone(n.mem.log[m.Index-n.mem.snapshot.Index : told.Index-n.mem.snapshot.Index])
	for _, e := range m.Entries {
		told.Bytes += len(e.Body)
	}
	n.sent = append(n.sent, told)
	return true
}

// apply checks what a member takes to be committed against what the cluster committed (I5, I6).
func (s *sim) apply(n *simNode, o *Orders) {
	if o.Commit < n.commit {
		s.fail("I7: commit index of %s falls from %d to %d", n.uid, n.commit, o.Commit)
	}
	for i := max(n.commit, n.mem.snapshot.Index) + 1; i <= o.Commit; i++ {
		e := n.mem.log[i-n.mem.snapshot.Index-1]
		switch {
		case int(i) <= len(s.committed):
			if want := s.committed[i-1]; want.Term != e.Term || string(want.Body) != string(e.Body) {
				s.fail("I5: %s applies %d of term %d, committed was term %d", n.uid, i, e.Term, want.Term)
			}
		case n.raft.lead == nil && s.leaders[o.Term] != n.uid:
			s.fail("I6: follower %s is the first to commit %d", n.uid, i)
		default:
			s.committed, s.decided = append(s.committed, e), append(s.decided, o.Term)
		}
	}
	if o.Commit > n.commit && n.raft.lead != nil {
		s.checkQuorum(n, o.Commit)
	}
	n.commit = o.Commit
}

// checkQuorum: what a leader commits is of its term, and on the disks of a majority (I6).
func (s *sim) checkQuorum(n *simNode, i ra.Index) {
	term := n.mem.term(i)
	var have memberSet
	c := n.raft.config()
	if c.Index > i {
		c = &n.raft.configs[len(n.raft.configs)-2]
	}
	for _, other := range s.nodes {
		had := other.disk.term(i) == term || other.disk.snapshot.Index >= i || other.lost(i, term)
		if k := c.find(other.uid); k >= 0 && had {
			have = have.with(k)
		}
	}
	if term != n.raft.state.Term || !c.quorumOf(have) {
		s.fail("I6: leader %s of term %d commits %d of term %d on disks %b", n.uid, n.raft.state.Term, i, term, have)
	}
}

func (s *sim) checkVote(n *simNode) {
	key := fmt.Sprint(n.uid, n.disk.state.Term)
	if v := s.votes[key]; v != "" && v != n.disk.state.Vote {
		s.fail("I2: vote of %s changes from %s to %s", key, v, n.disk.state.Vote)
	}
	s.votes[key] = n.disk.state.Vote
}

// answer checks that a confirmed query sees all that was committed before it (I13).
func (s *sim) answer(n *simNode, o *Orders) {
	for _, q := range n.queries {
		if q.number <= o.QueriesReady && q.floor > o.Commit {
			s.fail("I13: query on %s sees %d, %d was committed before", n.uid, o.Commit, q.floor)
		}
	}
	done := max(o.QueriesReady, o.QueriesLost)
	n.queries = slices.DeleteFunc(n.queries, func(q simQuery) bool { return q.number <= done })
}

// check looks at one member after each event: I1, I4, and the invariants of the core's own fields.
func (s *sim) check(n *simNode, o *Orders) {
	r := n.raft
	if r.log.last != n.mem.last() || r.disk.index > r.log.last || r.commit > r.log.last {
		s.fail("%s: log ends at %d, the shell's at %d", n.uid, r.log.last, n.mem.last())
	}
	if r.log.last > n.mem.snapshot.Index && r.log.lastTerm() != n.mem.term(r.log.last) {
		s.fail("%s: last term is %d, the shell's %d", n.uid, r.log.lastTerm(), n.mem.term(r.log.last))
	}
	if len(n.orders) == 0 && n.disk.last() != r.disk.index {
		s.fail("%s: durable are %d, the disk has %d", n.uid, r.disk.index, n.disk.last())
	}
	if c := n.mem.configuration(); !slices.Equal(c, r.config().Members) {
		s.fail("I8: configuration of %s is %v, the log's is %v", n.uid, r.config(), Configuration{Members: c})
	}
	if r.lead == nil {
		return
	}
	term := r.state.Term
	if l := s.leaders[term]; l != "" && l != n.uid {
		s.fail("I1: %s and %s lead term %d", l, n.uid, term)
	}
	if s.leaders[term] == "" {
		s.leaders[term] = n.uid
		for i := n.mem.snapshot.Index + 1; int(i) <= len(s.committed); i++ {
			if s.decided[i-1] > term {
				return // a leader of the past, which has not heard of the later ones yet
			}
			if n.mem.term(i) != s.committed[i-1].Term {
				s.fail("I4: leader %s of term %d lacks committed %d", n.uid, term, i)
				return
			}
		}
	}
	for i := range r.lead.peers {
		if p := &r.lead.peers[i]; i != r.at && (p.match >= p.next || p.next > r.log.last+1 || p.match > p.sent || p.bytes < 0) {
			s.fail("%s: peer %+v of a log that ends at %d", n.uid, *p, r.log.last)
		}
	}
}
