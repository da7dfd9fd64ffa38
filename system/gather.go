package system

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// gatherLimit bounds how long the segment writer waits for members, each time. Of who is late, because its machine takes
// long, the entries are copied.
const gatherLimit = 250 * time.Millisecond

// gathering asks members for snapshots, which a pack makes durable together.
type gathering struct {
	mu     sync.Mutex
	open   int // those that have not answered; negative when nobody waits for them any more
	offers []offered
	all    chan struct{} // closed when all have answered
}

// offered is what one member offers.
type offered struct {
	by *process
	*member.Offer
}

// answer has a member offer what it has, on its goroutine; nil says that there is no member to ask.
func (g *gathering) answer(p *process) {
	if p == nil {
		g.take(nil, nil)
	} else if o := p.server.Offer(); !g.take(p, o) {
		o.Decline()
		o.Taken(snapshot.Info{}, false)
	}
}

// take takes one answer in. It reports false if there is an offer for which it is too late.
func (g *gathering) take(p *process, o *member.Offer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open < 0 {
		return o == nil
	}
	if o != nil {
		p.rec.work.Add(1)
		g.offers = append(g.offers, offered{p, o})
	}
	if g.open--; g.open == 0 {
		close(g.all)
	}
	return true
}

// end returns the offers, and takes no more.
func (g *gathering) end() []offered {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = -1
	return g.offers
}

// spare has the members of a full file that have little state and much log there let go of that log, for a snapshot in a
// pack: what would be copied into segments otherwise, to be dropped from there later. What fails is no harm: then it is
// copied.
func (n *Node) spare(c *wal.Closed) {
	offers := n.gather(c)
	pack := n.snapshots.NewPack()
	for _, o := range offers {
		o.AddTo(pack)
	}
	in, err := pack.Commit()
	if err != nil {
		n.logger.Warn("no snapshots for a full file of the log", zap.Error(err))
	}
	n.settleOffers(offers, in)
}

// gather asks the members of a full file for snapshots.
func (n *Node) gather(c *wal.Closed) []offered {
	var asked []*process
	for i := range c.Spans {
		if r := n.registry.byUID(c.Spans[i].UID); r != nil && c.Spans[i].First != 0 && n.worthAsking(r) {
			if p := r.proc.Load(); p != nil {
				asked = append(asked, p)
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	g := &gathering{open: len(asked), all: make(chan struct{})}
	var ws actor.Wakeups
	for _, p := range asked {
		p.askOffer(g, &ws)
	}
	ws.Wake()
	waitBriefly(g.all)
	return g.end()
}

// worthAsking reports whether the log of a member is long enough for any snapshot to be short beside it: there may be very
// many members with hardly anything in a file, and each would be woken.
func (n *Node) worthAsking(r *record) bool {
	return n.cfg.Snapshots.Packed(&snapshot.State{LogBytes: r.log.Bytes()}, 1) > 0
}

// settleOffers tells the members what has become of their offers, and waits until they have let go of their logs.
func (n *Node) settleOffers(offers []offered, in []snapshot.Info) {
	if len(offers) == 0 {
		return
	}
	place := make(map[ra.UID]snapshot.Info, len(in))
	for i := range in {
		place[in[i].UID] = in[i]
	}
	var ws actor.Wakeups
	var told atomic.Int64
	all := make(chan struct{})
	for _, o := range offers {
		info, ok := place[o.UID()]
		o.by.rec.work.Done()
		o.by.finished(func() {
			o.Taken(info, ok)
			if told.Add(1) == int64(len(offers)) {
				close(all)
			}
		}, &ws)
	}
	ws.Wake()
	waitBriefly(all)
}

// waitBriefly waits, but not for long.
func waitBriefly(all <-chan struct{}) {
	limit := time.NewTimer(gatherLimit)
	defer limit.Stop()
	select {
	case <-all:
	case <-limit.C:
	}
}
