package rafttest

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// rarities are worlds that are drawn seldom, because they take long. What becomes of the weather that was drawn is so
// different from it that no mixture would come to it by chance.
var rarities = []struct {
	oneIn  int
	change func(*Profile)
}{
	{400, drawnOut},
	{1000, crowd},
}

// makeRare makes of the weather of a seed what it is in a rare world, in few cases. It has dice of its own, so that all
// other seeds mean what they would without.
func (p *Profile) makeRare(seed uint64) {
	d := newDice(seed ^ 0x5bd1e995_9e3779b9)
	for i := range rarities {
		if d.oneIn(rarities[i].oneIn) {
			rarities[i].change(p)
			return
		}
	}
}

// drawnOut is a world in which faults last longer than any patience: for a minute a leader does not hear a member, or one to
// which it hands over does not hear it, or a disk is full, and little else happens meanwhile.
func drawnOut(p *Profile) {
	p.Nodes, p.Members, p.Clusters, p.Clients = max(p.Nodes, 3), max(p.Members, 3), 1, 1
	p.Delay, p.Sync = min(p.Delay, 5*time.Millisecond), min(p.Sync, time.Millisecond)
	p.Fault, p.LieDown, p.Command = 20*time.Second, 80*time.Second, 2*time.Second
	p.LoseOneIn, p.Change, p.Recreate = 5, 10*p.Change, 0
	p.Weights = [faultKinds]int{
		faultMute: 16, faultDeaf: 8, faultFull: 3, faultTransfer: 3, faultPartition: 2, faultSuspect: 2, faultCrash: 1,
		faultCampaign: 1, faultKill: 1,
	}
	p.Lasts = 6
}

// crowd is a world of one cluster with as many members as it may have, and a few nodes for more.
func crowd(p *Profile) {
	p.Nodes, p.Members, p.Clusters, p.Clients = raft.MaxMembers+3, raft.MaxMembers, 1, 1
	p.Delay, p.Sync = min(p.Delay, 5*time.Millisecond), min(p.Sync, time.Millisecond)
	p.Fault, p.Command, p.Payload = max(p.Fault, 300*time.Millisecond), 500*time.Millisecond, min(p.Payload, 600)
	p.Change, p.Recreate, p.MaxEntries = 100*time.Millisecond, 0, 128
	p.Lasts = 16
}
