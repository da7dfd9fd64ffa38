package monkeytest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// weather is what happens to nodes, disks and network.
type weather struct {
	w   *world
	rng *rand.Rand
}

// faults are its kinds.
var faults = []func(*weather){
	(*weather).crash, (*weather).crash, (*weather).restart, (*weather).part, (*weather).part, (*weather).cut,
	(*weather).slow, (*weather).full, (*weather).failing,
}

// run lets one fault happen after the other until the context is over. All are over then.
func (x *weather) run(ctx context.Context) {
	for ctx.Err() == nil {
		x.rest(1500)
		if x.w.victim >= 0 && x.rng.IntN(3) == 0 {
			x.decay()
			continue
		}
		faults[x.rng.IntN(len(faults))](x)
	}
}

// rest sleeps for at most that many milliseconds.
func (x *weather) rest(ms int) { time.Sleep(time.Duration(x.rng.IntN(ms)) * time.Millisecond) }

func (x *weather) node() int { return x.rng.IntN(len(x.w.hosts)) }

// crash crashes some nodes at once, and opens them again.
func (x *weather) crash() { x.down(true) }

// restart closes some nodes in good order, and opens them again.
func (x *weather) restart() { x.down(false) }

func (x *weather) down(crash bool) {
	count := 1
	if x.rng.IntN(3) == 0 {
		count = 1 + x.node()
	}
	nodes := x.rng.Perm(len(x.w.hosts))[:count]
	for _, i := range nodes {
		x.w.close(i, crash, x.rng)
	}
	x.rest(2000)
	for _, i := range nodes {
		x.w.open(i, x.rng)
	}
}

// part parts two nodes, or one from all others, for a while.
func (x *weather) part() {
	a, b := x.node(), x.node()
	if a == b {
		x.w.note("", "part %s", nodeName(a))
		x.w.part(a, x.w.fabric.Disconnect)
	} else {
		x.w.note("", "part %s and %s", nodeName(a), nodeName(b))
		x.w.fabric.Disconnect(nodeName(a), nodeName(b))
	}
	x.rest(5000)
	x.w.part(a, x.w.fabric.Connect)
	x.w.note("", "parted no more")
}

// cut has what one node sends to another vanish for a while.
func (x *weather) cut() {
	a, b := nodeName(x.node()), nodeName(x.node())
	x.w.note("", "cut %s to %s", a, b)
	x.w.fabric.Cut(a, b)
	x.rest(5000)
	x.w.fabric.Heal(a, b)
	x.w.note("", "cut no more")
}

// slow has a disk take its time.
func (x *weather) slow() {
	h := x.w.any(x.rng)
	if h == nil {
		return
	}
	x.w.note("", "slow %s", nodeName(h.i))
	h.slow.Store(int64(x.rng.IntN(300)) * int64(time.Millisecond))
	x.rest(5000)
	h.slow.Store(0)
}

// full has a disk be full for a while.
func (x *weather) full() {
	h := x.w.any(x.rng)
	if h == nil {
		return
	}
	x.w.note("", "full %s", nodeName(h.i))
	h.mem.SetCapacity(h.mem.Used() + int64(x.rng.IntN(1<<16)))
	x.rest(5000)
	h.mem.SetCapacity(0)
	x.w.note("", "full no more")
}

// failing has operations of a disk fail, once or for a while, but no reads: what cannot be read counts as damaged. If one did the node is opened anew: it may have given up.
func (x *weather) failing() {
	h := x.w.any(x.rng)
	if h == nil {
		return
	}
	o := []vfs.Op{vfs.OpSync, vfs.OpWrite, vfs.OpCreate, vfs.OpRename, vfs.OpSyncDir}[x.rng.IntN(5)]
	x.w.note("", "failing %s, %v", nodeName(h.i), o)
	h.errs.Inject(vfs.Fault{Op: o, After: x.rng.IntN(20), Times: x.rng.IntN(4)})
	x.rest(3000)
	h.errs.Heal()
	x.w.note("", "failed %d times", h.errs.Struck())
	if h.errs.Struck() > 0 {
		x.w.close(h.i, x.rng.IntN(2) == 0, x.rng)
		x.w.open(h.i, x.rng)
	}
}
