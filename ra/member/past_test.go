package member

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// SNAP-03: what was in force is known for every index since the state that a member began with, or since its last
// snapshot; and it takes little memory.
func TestPastAgainstAModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		from := ra.Index(rng.IntN(3))
		now := moment{members: membersOf(0), time: 100}
		model := map[ra.Index]moment{from: now}
		times := map[ra.Index]int64{}
		var p past
		p.begin(from, now)
		leader := int64(100)
		for i := from + 1; i < from+200; i++ {
			kind := ra.KindCommand
			switch rng.IntN(20) {
			case 0:
				kind, now.members = ra.KindConfig, membersOf(int(i))
			case 1:
				now.version += machine.Version(rng.IntN(2))
			case 2:
				leader = now.time - 50 + rng.Int64N(100)
			}
			leader += rng.Int64N(5)
			times[i], now.time = leader, max(now.time, leader)
			e := ra.Seal(ra.NewBody(nil), ra.Header{Index: i, Term: 1, Kind: kind, Time: leader})
			p.note(&e, now)
			model[i] = now
			if rng.IntN(50) == 0 {
				at := from + ra.Index(rng.IntN(int(i-from)+1))
				p.forget(at, model[at])
				for ; from < at; from++ {
					delete(model, from)
				}
			}
		}
		for i := range from + 210 {
			want, known := model[i]
			got, ok, err := p.at(i, func(i ra.Index) (int64, error) { return times[i], nil })
			if ok != known || err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, index %d: %+v, %v, %v, want %+v, %v", seed, i, got, ok, err, want, known)
			}
		}
		if len(p.held) > 60 {
			t.Errorf("seed %d: %d stretches", seed, len(p.held))
		}
	}
	var p past
	p.begin(4, moment{})
	e := ra.Seal(ra.NewBody(nil), ra.Header{Index: 5, Term: 1})
	p.note(&e, moment{})
	e = ra.Seal(ra.NewBody(nil), ra.Header{Index: 6, Term: 1})
	p.note(&e, moment{})
	if _, _, err := p.at(5, func(ra.Index) (int64, error) { return 0, errDisk }); err != errDisk {
		t.Errorf("an entry that cannot be read: %v", err)
	}
}

func membersOf(n int) []ra.Member {
	return []ra.Member{{UID: ra.UID(fmt.Sprint("m", n)), ID: ra.ServerID{Name: "m", Node: "n"}}}
}
