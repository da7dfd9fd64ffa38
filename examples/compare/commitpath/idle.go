package commitpath

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// IdleReport says what members that do nothing cost.
type IdleReport struct {
	Members        int           `json:"members"`
	RSSBytes       uint64        `json:"rss_bytes"`
	BytesPerMember float64       `json:"rss_per_member_bytes"`
	Goroutines     int           `json:"goroutines"`
	Spawn          time.Duration `json:"spawn_ns"`
}

// Idle starts members on three nodes, sends each a message, lets them fall idle, and measures what the process then
// holds. Each has the state of a member of this host; the nodes have no log.
func Idle(members int) (IdleReport, error) {
	before := resident()
	var nodes [replicas]*actor.Node
	for i := range nodes {
		n, err := actor.Open(actor.Config{
			Name: ra.NodeID(fmt.Sprint("node", i)), NewRound: func(int) actor.Round { return &round{} },
		})
		if err != nil {
			return IdleReport{}, err
		}
		defer n.Close(context.Background())
		nodes[i] = n
	}
	start := time.Now()
	ms := make([]*member, members)
	for i := range ms {
		m := &member{node: &node{id: i % replicas}, leader: (i + 1) % replicas}
		ref, err := nodes[i%replicas].Spawn("m"+strconv.Itoa(i), func() actor.Actor { return m })
		if err != nil {
			return IdleReport{}, err
		}
		m.ref, ms[i] = ref, m
	}
	spawned := time.Since(start)
	for _, m := range ms {
		m.ref.Lock()
		m.in.any = true
		m.ref.Unlock(nil)
	}
	for _, n := range nodes { // a job runs behind everything that was ready before it
		done := make(finished)
		n.Inject(0, done)
		<-done
	}
	after := resident()
	r := IdleReport{Members: members, RSSBytes: after, Goroutines: runtime.NumGoroutine(), Spawn: spawned}
	r.BytesPerMember = float64(after-min(before, after)) / float64(members)
	runtime.KeepAlive(ms)
	return r, nil
}

// finished is a job that says that it ran.
type finished chan struct{}

// Run closes the channel.
func (f finished) Run(*actor.Wakeups) { close(f) }

// resident returns the resident set of this process after garbage was given back, 0 where that cannot be read.
func resident() uint64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}
