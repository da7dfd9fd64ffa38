package system

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// peer is another member as one member knows it: where letters to it go, and which process it is.
type peer struct {
	uid ra.UID
	id  ra.ServerID
	out *outbox
	// slot, spawn and life are learnt from the peer's letters; 0 before the first one.
	slot  uint32
	spawn uint64
	life  uint64
	// wordTurn and wordAt say where a word to the peer may wait, see round.waiting.
	wordTurn, wordAt int
	// stranger: it wrote to us, but no configuration that we know has it.
	stranger bool
}

// pid returns the peer's process. It is a real one only if spawn is known.
func (p *peer) pid() ra.PID {
	return ra.PID{Node: p.id.Node, Name: p.id.Name, Incarnation: p.life, Spawn: p.spawn}
}

// maxStrangers bounds the peers that are in no configuration.
const maxStrangers = 8

// peers are all that a member talks to. They are few, so a list is searched faster than a map.
type peers struct {
	list []peer
	// members is the configuration that the list was last made from.
	members []ra.Member
}

func (ps *peers) find(uid ra.UID) *peer {
	for i := range ps.list {
		if ps.list[i].uid == uid {
			return &ps.list[i]
		}
	}
	return nil
}

// set takes in a configuration. What was learnt of members that stay is kept; those that are gone become strangers,
// which may still have something to say.
func (ps *peers) set(r *round, members []ra.Member) {
	ps.members = members
	for i := range ps.list {
		ps.list[i].stranger = true
	}
	for _, m := range members {
		p := ps.find(m.UID)
		if p == nil {
			ps.list = append(ps.list, peer{uid: m.UID})
			p = &ps.list[len(ps.list)-1]
		}
		p.id, p.out, p.stranger = m.ID, r.to(m.ID.Node), false
	}
	ps.prune()
}

// prune forgets the oldest strangers.
func (ps *peers) prune() {
	strangers := 0
	for i := range ps.list {
		if ps.list[i].stranger {
			strangers++
		}
	}
	ps.list = slices.DeleteFunc(ps.list, func(p peer) bool {
		if !p.stranger || strangers <= maxStrangers {
			return false
		}
		strangers--
		return true
	})
}

// learn takes note of who wrote a letter.
func (ps *peers) learn(r *round, l *letter) {
	p := ps.find(l.From)
	if p == nil {
		ps.list = append(ps.list, peer{uid: l.From, id: ra.ServerID{Node: l.fromNode}, out: r.to(l.fromNode), stranger: true})
		ps.prune()
		p = ps.find(l.From)
	}
	p.uid = l.From // so that the next comparison finds the same string, and need not look at its bytes
	p.slot, p.spawn, p.life = l.fromSlot, l.fromSpawn, l.fromLife
}

// sameMembers reports whether ps was last made from exactly this list.
func (ps *peers) sameMembers(members []ra.Member) bool {
	return len(members) == len(ps.members) && (len(members) == 0 || &members[0] == &ps.members[0])
}
