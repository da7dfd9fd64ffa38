package rafttest

import (
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// faultKind is a kind of what goes wrong at once, and not with each message or sync.
type faultKind uint8

const (
	faultCrash     faultKind = iota // nodes stop, perhaps in the middle of something, and lose what was not durable
	faultPower                      // a node will, at one of the next changes of its disk
	faultStop                       // a node is stopped in good order
	faultUpgrade                    // a node is, and comes back with newer code of the machines
	faultKill                       // a member's process ends
	faultSuspect                    // a failure detector is wrong
	faultCampaign                   // a member campaigns without need
	faultTransfer                   // a leader hands over
	faultDisk                       // some of the next operations of a disk fail
	faultRot                        // all operations of a kind do for a while, also when the node is started
	faultFull                       // a disk is full for a while
	faultIsolate                    // a leader's node is cut off
	faultPartition                  // links are cut
	faultMute                       // a leader does not hear a member any more
	faultDeaf                       // a member does not hear a leader any more that is just handing over to it
	faultFlinch                     // a node is stopped in good order just when a member there is about to take leadership over

	faultKinds
)

var faultNames = [...]string{
	"crash", "power", "stop", "upgrade", "kill", "suspect", "campaign", "transfer", "disk", "rot", "full", "isolate", "partition",
	"mute", "deaf", "flinch",
}

// fault breaks something and plans its repair.
func (s *sim) fault() {
	if s.healing || s.profile.Fault == 0 {
		return
	}
	s.plan(s.dice.between(s.profile.Fault/4, 2*s.profile.Fault), event{kind: evFault})
	s.hits++
	kind := s.drawFault()
	if slices.Contains(s.opts.Skip, s.hits) {
		return
	}
	switch kind {
	case faultCrash:
		s.crashSome()
	case faultPower:
		s.cutPower()
	case faultStop:
		s.stopSome()
	case faultUpgrade:
		s.upgradeSome()
	case faultKill:
		s.killSome()
	case faultSuspect:
		s.suspectSomebody()
	case faultCampaign:
		s.askForElection()
	case faultTransfer:
		s.handOver()
	case faultDisk:
		s.failDisk()
	case faultRot:
		s.rotDisk()
	case faultFull:
		s.fillDisk()
	case faultIsolate:
		s.isolate(s.someLeader())
	case faultPartition:
		s.partition()
	case faultMute:
		s.mute()
	case faultDeaf:
		s.deafen()
	case faultFlinch:
		s.flinch()
	}
}

// drawFault draws a kind of fault by its weight, faultKinds for none.
func (s *sim) drawFault() faultKind {
	total := 0
	for _, w := range s.profile.Weights {
		total += w
	}
	if total == 0 {
		return faultKinds
	}
	at := s.dice.IntN(total)
	for k, w := range s.profile.Weights {
		if at -= w; at < 0 {
			return faultKind(k)
		}
	}
	return faultKinds
}

// killSome ends the process of a member.
func (s *sim) killSome() {
	c := s.someCluster()
	if p := c.members[s.dice.IntN(len(c.members))]; p.alive() {
		p.kill()
	}
}

// cutPower lets a node crash at one of the next changes of its disk, whatever that will be part of.
func (s *sim) cutPower() {
	n := s.nodes[s.dice.IntN(len(s.nodes))]
	if n.up && n.fuse.left == 0 {
		n.light(1+n.chaos.IntN(20), vfs.CrashModel(n.chaos.IntN(int(vfs.CrashModels))))
	}
}

// stopSome stops a node in good order.
func (s *sim) stopSome() {
	if n := s.nodes[s.dice.IntN(len(s.nodes))]; n.up {
		n.stop()
	}
}

// rotDisk makes all operations of one kind fail for a while. The node may not be able to start meanwhile.
func (s *sim) rotDisk() {
	n := s.nodes[s.dice.IntN(len(s.nodes))]
	op := pick(s.dice, vfs.OpOpen, vfs.OpCreate, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir, vfs.OpRead, vfs.OpWrite,
		vfs.OpZero, vfs.OpSync, vfs.OpSize, vfs.OpClose, vfs.OpList, vfs.OpLock, vfs.OpMkdir)
	n.rot, n.rotUntil = op, s.now+s.dice.between(time.Millisecond, s.profile.LieDown)
	if n.up && s.dice.oneIn(2) {
		n.crash()
		n.returnLater()
	}
}

// fillDisk lets a disk have room for little more. Somebody makes room after a while.
func (s *sim) fillDisk() {
	n := s.nodes[s.dice.IntN(len(s.nodes))]
	n.disk.SetCapacity(n.disk.Used() + 1 + int64(s.dice.IntN(8)*s.dice.IntN(16<<10)))
	s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRoom, node: n})
}

// someLeader returns the node of a member that leads, or believes so, of a cluster drawn at random; any node if nobody
// does. Faults that strike leaders are those that leave divergent logs behind.
func (s *sim) someLeader() *node {
	c := s.someCluster()
	if p := s.leaderOf(c); p != nil {
		return p.node
	}
	return s.nodes[s.dice.IntN(len(s.nodes))]
}

// leaderOf returns a member that leads, or believes so; there may be several.
func (s *sim) leaderOf(c *cluster) *peer {
	at := s.dice.IntN(len(c.members))
	for i := range c.members {
		if p := c.members[(at+i)%len(c.members)]; p.alive() && p.server.Status().Role == ra.Leader {
			return p
		}
	}
	return nil
}

// askForElection lets one member campaign although there may be no need.
func (s *sim) askForElection() {
	c := s.someCluster()
	if p := c.members[s.dice.IntN(len(c.members))]; p.alive() {
		s.plan(0, event{kind: evCampaign, peer: p, life: p.node.life})
	}
}

// handOver lets a leader hand over to another member, again and again for a while now and then.
func (s *sim) handOver() {
	c := s.someCluster()
	if p := s.leaderOf(c); p != nil {
		to := uint64(s.dice.IntN(len(c.members)))
		s.plan(0, event{kind: evTransfer, peer: p, life: p.node.life, gen: to})
	}
}

// failDisk makes one of the next operations of a disk fail; another soon after now and then, which is more than the log
// can bear.
func (s *sim) failDisk() {
	n := s.nodes[s.dice.IntN(len(s.nodes))]
	if !n.up {
		return
	}
	f := vfs.Fault{
		Op: pick(s.dice, vfs.OpSync, vfs.OpSync, vfs.OpWrite), After: s.dice.IntN(4), Times: 1, Short: s.dice.oneIn(2),
	}
	if s.dice.oneIn(8) {
		f.Op, f.Times = vfs.OpAny, 1+s.dice.IntN(6)
	}
	n.fs.Inject(f)
}

// crashSome crashes one node, now and then several or all at the same moment.
func (s *sim) crashSome() {
	count := 1
	if s.dice.oneIn(4) {
		count = 1 + s.dice.IntN(len(s.nodes))
	}
	for _, i := range s.dice.Perm(len(s.nodes))[:count] {
		if n := s.nodes[i]; n.up {
			n.crash()
			s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRestart, node: n})
		}
	}
}

// underLeader returns a leader and another member of its cluster, by its number, too; nil if it finds none.
func (s *sim) underLeader() (leader, p *peer, number int) {
	c := s.someCluster()
	leader, number = s.leaderOf(c), s.dice.IntN(len(c.members))
	if p = c.members[number]; leader == p {
		return nil, nil, 0
	}
	return leader, p, number
}

// mute cuts the link from a member to its leader, which may give it up then, while the member sees nothing amiss.
func (s *sim) mute() {
	if leader, p, _ := s.underLeader(); leader != nil {
		s.cutLink(p.node.id, leader.node.id)
		s.plan(s.dice.between(s.profile.LieDown/2, s.profile.LieDown), event{kind: evRejoin})
	}
}

// deafen cuts the link from a leader to a member just when the one hands over to the other.
func (s *sim) deafen() {
	if leader, p, to := s.underLeader(); leader != nil {
		s.plan(0, event{kind: evTransfer, peer: leader, life: leader.node.life, gen: uint64(to)})
		s.cutLink(leader.node.id, p.node.id)
		s.plan(s.dice.between(s.profile.LieDown/2, s.profile.LieDown), event{kind: evRejoin})
	}
}

// flinch has a leader hand over to a member whose node is stopped in good order as soon as it stands for election: it votes
// for itself in a term of which nobody else hears.
func (s *sim) flinch() {
	if leader, p, to := s.underLeader(); leader != nil {
		p.flinches = leader
		s.plan(0, event{kind: evTransfer, peer: leader, life: leader.node.life, gen: uint64(to)})
	}
}

// flinched is what comes of that: what the old leader says does not reach the member for a while when it is back.
func (p *peer) flinched() {
	s, leader := p.sim, p.flinches
	p.flinches = nil
	s.plan(s.dice.between(0, s.profile.Sync), event{kind: evScript, job: &job{work: func() {
		if p.node.up && !s.healing {
			p.node.stop()
			s.cutLink(leader.node.id, p.node.id)
			s.plan(2*s.profile.LieDown, event{kind: evRejoin})
		}
	}}})
}

// isolate cuts one node off for a while.
func (s *sim) isolate(n *node) {
	s.cutOff(n)
	s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRejoin})
}

// cutOff cuts all links of a node.
func (s *sim) cutOff(n *node) {
	for a := range s.cut {
		if a != n.id {
			s.cutLink(a, n.id)
			s.cutLink(n.id, a)
		}
	}
}

// cutLink lets messages from node a to node b vanish. b will hear that a is gone.
func (s *sim) cutLink(a, b int) {
	if s.cut[a][b] {
		return
	}
	s.cut[a][b] = true
	s.learn(s.nodes[b], s.nodes[a], raft.NodeDown, s.dice.between(10*time.Millisecond, 4*time.Second))
	s.learn(s.nodes[b], s.nodes[a], raft.LeaderLost, s.dice.between(10*time.Millisecond, 500*time.Millisecond))
}

// partition cuts links: one way or both, one node off, in halves, or any.
func (s *sim) partition() {
	side := make([]bool, len(s.nodes))
	shape := s.dice.IntN(4)
	lone := s.dice.IntN(len(s.nodes))
	for i := range side {
		side[i] = shape < 2 && i == lone || shape >= 2 && s.dice.oneIn(2)
	}
	oneWay := shape == 1
	for a := range s.cut {
		for b := range s.cut {
			cut := side[a] != side[b] && (!oneWay || side[a])
			if shape == 3 {
				cut = a != b && s.dice.oneIn(3)
			}
			if cut {
				s.cutLink(a, b)
			}
		}
	}
	s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRejoin})
}

// suspectSomebody makes the failure detector of one node wrong about another.
func (s *sim) suspectSomebody() {
	a, b := s.nodes[s.dice.IntN(len(s.nodes))], s.nodes[s.dice.IntN(len(s.nodes))]
	if a != b {
		for _, p := range a.peers {
			if q := p.cluster.on(b); q != nil {
				s.plan(0, event{kind: evLearn, peer: p, life: a.life, gen: 1, message: &raft.Message{Kind: raft.NodeDown, From: q.uid}})
			}
		}
		s.learn(a, b, raft.NodeUp, s.dice.between(time.Millisecond, time.Second))
	}
}

// reconnect mends all links.
func (s *sim) reconnect() {
	for a := range s.cut {
		for b := range s.cut {
			if s.cut[a][b] {
				s.cut[a][b] = false
				s.learn(s.nodes[b], s.nodes[a], raft.NodeUp, s.dice.between(time.Millisecond, 500*time.Millisecond))
			}
		}
	}
}
