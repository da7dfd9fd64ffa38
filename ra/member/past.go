package member

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// past knows of every index, from that of the restored state to the applied one, what was in force when its entry had just been
// applied: the committed configuration, the machine's version and its clock. A machine may hand in the state of an
// earlier index, and what is stored with it must be of that index too, or members would differ after a restart
// (SNAP-03, I14).
//
// The clock at an entry is the time in the entry, but for the stretches in which it was held because the clocks of two
// leaders differ. There are as few of those as leaders.
type past struct {
	from, to ra.Index
	base     moment          // in force at from
	version  machine.Version // in force at to
	configs  []ra.Index
	members  [][]ra.Member // committed at configs[i]
	upgrades []upgrade
	held     []stretch
}

// moment is what was in force at an index, beside the machine's state.
type moment struct {
	members []ra.Member
	version machine.Version
	time    int64 // the machine's clock
}

// upgrade is a version of the machine that is in force since the entry at index.
type upgrade struct {
	index   ra.Index
	version machine.Version
}

// stretch is the entries from first to last, at which the machine's clock stood at time.
type stretch struct {
	first, last ra.Index
	time        int64
}

// begin starts with a state that was restored or installed, or with the initial one at index 0.
func (p *past) begin(index ra.Index, m moment) {
	*p = past{from: index, to: index, base: m, version: m.version}
}

// note takes in what is in force now that an entry is applied.
func (p *past) note(e *ra.Entry, now moment) {
	if e.Kind() == ra.KindConfig {
		p.configs, p.members = append(p.configs, e.Index), append(p.members, now.members)
	}
	if now.version != p.version {
		p.upgrades = append(p.upgrades, upgrade{e.Index, now.version})
	}
	if now.time != e.Time() {
		if n := len(p.held); n > 0 && p.held[n-1].last+1 == e.Index && p.held[n-1].time == now.time {
			p.held[n-1].last = e.Index
		} else {
			p.held = append(p.held, stretch{e.Index, e.Index, now.time})
		}
	}
	p.to, p.version = e.Index, now.version
}

// at returns what was in force at an index, and whether that is known. time is asked for the time in the entry there
// if that was the machine's clock.
func (p *past) at(index ra.Index, time func(ra.Index) (int64, error)) (m moment, known bool, err error) {
	switch {
	case index < p.from || index > p.to:
		return m, false, nil
	case index == p.from:
		return p.base, true, nil
	}
	m = p.base
	for i, at := range p.configs {
		if at <= index {
			m.members = p.members[i]
		}
	}
	for _, u := range p.upgrades {
		if u.index <= index {
			m.version = u.version
		}
	}
	for _, h := range p.held {
		if h.first <= index && index <= h.last {
			m.time = h.time
			return m, true, nil
		}
	}
	m.time, err = time(index)
	return m, err == nil, err
}

// forget lets go of what was in force below an index only, because a snapshot of it is durable. base is what the
// snapshot says of it.
func (p *past) forget(index ra.Index, base moment) {
	if index < p.from || index > p.to {
		return
	}
	k := 0
	for k < len(p.configs) && p.configs[k] <= index {
		k++
	}
	p.configs, p.members = slices.Delete(p.configs, 0, k), slices.Delete(p.members, 0, k)
	for k = 0; k < len(p.upgrades) && p.upgrades[k].index <= index; {
		k++
	}
	p.upgrades = slices.Delete(p.upgrades, 0, k)
	for k = 0; k < len(p.held) && p.held[k].last <= index; {
		k++
	}
	p.held = slices.Delete(p.held, 0, k)
	p.from, p.base = index, base
}
