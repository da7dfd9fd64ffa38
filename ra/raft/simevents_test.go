package raft

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// run makes events at random.
func (s *sim) run(steps int) {
	for s.events = range steps {
		if s.bad != "" {
			return
		}
		n := s.nodes[s.rng.IntN(len(s.nodes))]
		p := s.rng.IntN(1000)
		if s.stormy && s.rng.IntN(12) == 0 {
			p = 920 + s.rng.IntN(80)
		}
		switch {
		case p < 600:
			s.deliver(s.rng.IntN(20) == 0)
		case p < 720:
			s.sync(n)
		case p < 800:
			s.propose(n)
		case p < 830:
			s.ask(n)
		case p < 860:
			s.fire(n)
		case p < 890:
			s.tick(n)
		case p < 920:
			s.notice()
		default:
			s.fault(n, p)
		}
	}
}

// fault makes the rarer events.
func (s *sim) fault(n *simNode, p int) {
	switch {
	case p < 928:
		if n.raft != nil {
			s.crash(n)
		}
	case p < 944:
		if n.raft == nil {
			s.damage(n)
			s.start(n)
		}
	case p < 947:
		s.cut[[2]ra.UID{n.uid, s.any().uid}] = true
	case p < 950:
		s.isolate(n)
	case p < 960:
		clear(s.cut)
	case p < 970:
		s.snapshot(n)
	case p < 978:
		s.installed(n)
	case p < 984:
		s.change(n)
	case p < 988:
		s.step(n, Message{Kind: Transfer, To: s.any().uid})
	case p < 992:
		s.suspect(n, s.any())
	case p < 994:
		s.step(n, Message{Kind: Campaign})
	case p < 997:
		s.wal(n)
	default:
		s.step(n, Message{Kind: ReadFailed})
	}
}

func (s *sim) any() *simNode { return s.nodes[s.rng.IntN(len(s.nodes))] }

// deliver takes any message off the net. It may vanish, or come again.
func (s *sim) deliver(lose bool) {
	if len(s.net) == 0 {
		return
	}
	i := s.rng.IntN(len(s.net))
	if s.rng.IntN(3) > 0 || s.healing {
		i = 0
	}
	m := s.net[i]
	if s.rng.IntN(20) > 0 || s.healing {
		s.net = slices.Delete(s.net, i, i+1)
	}
	if lose || s.cut[[2]ra.UID{m.From, m.To}] {
		return
	}
	for _, n := range s.nodes {
		if n.uid == m.To {
			s.step(n, m)
		}
	}
}

func (s *sim) propose(n *simNode) {
	if n.raft != nil {
		s.step(n, Message{Kind: Propose, Entries: proposals(1 + s.rng.IntN(3))})
	}
}

// ask puts a query to a member.
func (s *sim) ask(n *simNode) {
	if n.raft == nil {
		return
	}
	n.query++
	n.queries = append(n.queries, simQuery{n.query, ra.Index(len(s.committed))})
	number := n.query
	if s.step(n, Message{Kind: Query, Query: number}).Refused != Accepted {
		n.queries = slices.DeleteFunc(n.queries, func(q simQuery) bool { return q.number == number })
	}
}

func (s *sim) fire(n *simNode) {
	if n.raft != nil && n.armed {
		n.armed = false
		s.step(n, Message{Kind: ElectionTimeout})
	}
}

func (s *sim) tick(n *simNode) {
	if n.raft != nil && n.tick {
		s.step(n, Message{Kind: Tick})
	}
}

// notice lets one failure detector speak.
func (s *sim) notice() {
	if len(s.local) > 0 {
		f := s.local[0]
		s.local = s.local[1:]
		f()
	}
}

// snapshot lets a member take a snapshot of what it has applied, and cut its log.
func (s *sim) snapshot(n *simNode) {
	if n.raft == nil || n.install != nil || n.commit <= n.mem.snapshot.Index || n.disk.last() < n.commit {
		return
	}
	if n.disk.term(n.commit) != n.mem.term(n.commit) {
		return
	}
	p := Position{n.commit, n.mem.term(n.commit)}
	members := n.mem.members
	for _, e := range n.mem.log[:p.Index-n.mem.snapshot.Index] {
		if e.Kind() == ra.KindConfig {
			members, _ = DecodeMembers(e.Payload())
		}
	}
	n.disk.install(p, members, true)
	n.mem.install(p, members, true)
	s.step(n, Message{Kind: SnapshotTaken, Index: p.Index, LogTerm: p.Term})
	s.step(n, Message{Kind: LogTruncated, Index: p.Index})
}

// installed ends the installation of a snapshot, mostly well. What was on its way to the disk got there before, and is
// confirmed after.
func (s *sim) installed(n *simNode) {
	if n.raft == nil || n.install == nil {
		return
	}
	o := *n.install
	n.install = nil
	if s.rng.IntN(5) == 0 && !s.healing {
		s.step(n, Message{Kind: SnapshotFailed})
		return
	}
	p := Position{o.Index, o.Term}
	for k, order := range n.orders {
		n.disk.apply(order)
		s.checkVote(n)
		n.orders[k] = simOrder{seq: order.seq}
	}
	members := s.membersAt(o.Index)
	n.disk.install(p, members, o.KeepLog)
	n.mem.install(p, members, o.KeepLog)
	n.commit = max(n.commit, p.Index)
	s.step(n, Message{Kind: SnapshotStored, Index: o.Index, LogTerm: o.Term, Members: slices.Clone(members)})
}

// membersAt returns the configuration that the committed log has at i.
func (s *sim) membersAt(i ra.Index) []ra.Member {
	members := simInitial
	for _, e := range s.committed[:i] {
		if e.Kind() == ra.KindConfig {
			members, _ = DecodeMembers(e.Payload())
		}
	}
	return members
}

// change asks a member to add, promote, demote or remove one.
func (s *sim) change(n *simNode) {
	if s.frail {
		return
	}
	m := member(s.any().uid)
	m.Membership = ra.Membership(s.rng.IntN(3))
	op := Set
	if s.rng.IntN(3) == 0 {
		op = Remove
	}
	s.step(n, Message{Kind: Change, Op: op, Members: []ra.Member{m}})
}

// suspect lets the failure detector of n take other's node for down, and later for up.
func (s *sim) suspect(n, other *simNode) {
	if n.raft != nil {
		s.step(n, Message{Kind: NodeDown, From: other.uid})
		if n.raft != nil {
			s.later(n, Message{Kind: NodeUp, From: other.uid})
		}
	}
}

// isolate cuts a member off from all others, and lets those that follow it notice.
func (s *sim) isolate(n *simNode) {
	for _, other := range s.nodes {
		s.cut[[2]ra.UID{n.uid, other.uid}] = true
		s.cut[[2]ra.UID{other.uid, n.uid}] = true
		if other.raft != nil && other.raft.Leader() == n.uid && other != n {
			s.later(other, Message{Kind: LeaderLost, From: n.uid})
		}
	}
}

func (s *sim) wal(n *simNode) {
	if n.raft != nil {
		n.walDown = !n.walDown
		kind := WALUp
		if n.walDown {
			kind = WALDown
		}
		s.step(n, Message{Kind: kind})
	}
}

// heal ends all faults. A leader must come, everybody must have the same log in the end, and nothing may stay awake
// (I18).
func (s *sim) heal() {
	s.healing = true
	clear(s.cut)
	for _, n := range s.nodes {
		if n.raft == nil {
			s.start(n)
		}
		if n.walDown {
			s.wal(n)
		}
	}
	if len(s.leaders) == 0 { // brand-new members wait to be told (API-07)
		sound := slices.IndexFunc(s.nodes, func(n *simNode) bool { return !n.disk.suspect })
		s.step(s.nodes[sound], Message{Kind: Campaign})
	}
	const rounds = 400
	for range rounds {
		s.round()
		if s.bad != "" || s.quiet() {
			return
		}
	}
	s.fail("I18: no rest after %d rounds", rounds)
}

// round is about a second without faults.
func (s *sim) round() {
	for _, n := range s.nodes {
		if n.raft == nil {
			s.start(n) // it was removed and stopped
		}
		s.carryOut(n)
		s.tick(n)
		if n.armed && s.rng.IntN(4) == 0 {
			s.fire(n)
			break
		}
	}
	work := 0
	for busy := true; busy && s.bad == ""; work++ {
		if work > 100_000 {
			s.fail("I18: the messages of a round never end; next are %v", s.net[:min(len(s.net), 6)])
		}
		busy = len(s.net) > 0 || len(s.local) > 0
		s.deliver(false)
		s.notice()
		for _, n := range s.nodes {
			busy = busy || len(n.orders) > 0 || n.install != nil || len(n.sent) > 0
			s.sync(n)
			s.installed(n)
			if len(n.sent) > 0 {
				s.carryOut(n)
			}
		}
	}
	if l := s.leader(); l != nil && s.rng.IntN(3) == 0 && !s.settled() {
		s.propose(l)
	}
}

// leader returns the one that leads in the highest term, if any.
func (s *sim) leader() *simNode {
	var l *simNode
	for _, n := range s.nodes {
		if n.raft != nil && n.raft.Role() == ra.Leader && (l == nil || n.raft.state.Term > l.raft.state.Term) {
			l = n
		}
	}
	return l
}

// settled reports whether all members have committed the leader's whole log.
func (s *sim) settled() bool {
	l := s.leader()
	if l == nil || l.commit != l.mem.last() || l.raft.commit < l.raft.lead.first {
		return false
	}
	for _, n := range s.nodes {
		if n.raft != nil && l.raft.config().find(n.uid) >= 0 && (n.commit != l.commit || n.mem.last() != l.mem.last()) {
			return false
		}
	}
	return true
}

// quiet reports whether the members are settled and nobody waits for anything.
func (s *sim) quiet() bool {
	if !s.settled() {
		return false
	}
	c := s.leader().raft.config()
	for _, n := range s.nodes {
		if c.find(n.uid) >= 0 && (n.tick || n.armed || len(n.queries) > 0) {
			return false
		}
	}
	return true
}
