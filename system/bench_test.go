package system

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// BenchmarkGo is commands in flight to a cluster of three nodes, from the leader's node and from another; files in memory.
func BenchmarkGo(b *testing.B) {
	for _, from := range []string{"leader", "follower"} {
		b.Run(from, func(b *testing.B) {
			w := newWorld(b, 3, func(c *Config) { c.WALFileSize = 64 << 20 })
			c := w.cluster("a", "counter", "n1", "n2", "n3")
			leader, err := c.WaitLeader(w.ctx())
			if err != nil {
				b.Fatal(err)
			}
			node := leader.Node
			if from == "follower" {
				node = w.others(node)[0]
			}
			c = w.on(node, "a")
			command := reference.AppendAdd(nil, 1)
			room := make(chan struct{}, 512)
			done := func(_ ra.Result, err error) {
				if err != nil {
					b.Error(err)
				}
				<-room
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				room <- struct{}{}
				c.Go(command, done)
			}
			for range cap(room) {
				room <- struct{}{}
			}
		})
	}
}

// BenchmarkProcess is one command at a time.
func BenchmarkProcess(b *testing.B) {
	w := newWorld(b, 1, func(c *Config) { c.WALFileSize = 64 << 20 })
	c := w.cluster("a", "counter", "n1")
	command := reference.AppendAdd(nil, 1)
	ctx := w.ctx()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Process(ctx, command); err != nil {
			b.Fatal(err)
		}
	}
}
