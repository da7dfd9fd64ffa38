package actor_test

import (
	"context"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/actor"
)

// counter adds up the numbers sent to it.
type counter struct{ sum int }

// add asks a counter to add n and to answer with the sum.
type add struct {
	actor.Item
	n      int
	answer chan int
}

// Refuse is called instead of an answer if the counter has ended.
func (a *add) Refuse(error) { close(a.answer) }

func (c *counter) Receive(ctx *actor.Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		if a, ok := m.(*add); ok {
			c.sum += a.n
			a.answer <- c.sum
		}
	}
}

func Example() {
	node, err := actor.Open(actor.Config{Name: "n1"})
	if err != nil {
		panic(err)
	}
	ref, err := node.Spawn("counter", func() actor.Actor { return &counter{} })
	if err != nil {
		panic(err)
	}
	for n := 1; n <= 3; n++ {
		a := &add{n: n, answer: make(chan int, 1)}
		if err := ref.Send(a); err != nil {
			panic(err)
		}
		fmt.Println(<-a.answer)
	}
	if err := node.Close(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// 1
	// 3
	// 6
}
