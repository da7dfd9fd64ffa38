package monkeytest

import (
	"context"
	"time"
)

// poisoner is a client at whose commands and questions machines panic, and who thinks that nodes are damaged which are not.
type poisoner struct{ client }

// poisons are what it does.
var poisons = []func(*poisoner){(*poisoner).command, (*poisoner).command, (*poisoner).question, (*poisoner).doctor}

// run does one after the other until the context is over.
func (p *poisoner) run(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(p.rng.IntN(3000)) * time.Millisecond)
		p.s, p.h = p.w.clusters[p.rng.IntN(len(p.w.clusters))], p.w.any(p.rng)
		if p.h == nil {
			continue
		}
		var err error
		if p.c, err = p.h.node.Cluster(p.s.name); err == nil {
			poisons[p.rng.IntN(len(poisons))](p)
		}
	}
}

// command sends a command at which a member panics, or each. It may be applied all the same, by the members' next lives.
func (p *poisoner) command() { p.say(opPanic, make([]byte, p.rng.IntN(100))) }

// question asks what ends a query and no member (QRK-04).
func (p *poisoner) question() {
	ask := []func(context.Context) error{
		func(ctx context.Context) error { _, err := p.c.LocalQuery(ctx, askTwice{}); return err },
		func(ctx context.Context) error { _, err := p.c.LeaderQuery(ctx, askTwice{}); return err },
		func(ctx context.Context) error { _, err := p.c.ConsistentQuery(ctx, askTwice{}); return err },
	}[p.rng.IntN(3)]
	if p.call("a question too many", ask) == nil {
		p.w.fail("%s: a question at which the machine panics has an answer", p.s.name)
	}
}

// doctor has damage repaired where there is none.
func (p *poisoner) doctor() {
	if p.w.victim >= 0 {
		return
	}
	if p.call("accept loss", func(ctx context.Context) error { return p.h.node.AcceptLoss(ctx, p.s.name) }) == nil {
		p.w.fail("%s: a loss is accepted", p.s.name)
	}
	n := 0
	p.call("replace damaged", func(ctx context.Context) (err error) {
		n, err = p.h.node.ReplaceDamaged(ctx)
		return err
	})
	if n > 0 {
		p.w.fail("%d members are replaced", n)
	}
}
