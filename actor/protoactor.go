package actor

import (
	"log/slog"

	pa "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// openSystem makes the node's protoactor system. The node's name stands in for an address.
func (n *Node) openSystem() {
	n.system = pa.NewActorSystem(pa.WithLoggerFactory(bridge(n.log)))
	n.system.ProcessRegistry.Address = string(n.cfg.Name)
	// A new event stream, without the subscriber that logs dead letters: it starts a goroutine that sleeps for a second
	// with the first of them, and outlives the node. What the other subscribers do is done by ours.
	n.system.EventStream = eventstream.NewEventStream()
	n.system.EventStream.Subscribe(n.deadLetter)
	stop := pa.NewOneForOneStrategy(0, 0, func(any) pa.Directive { return pa.StopDirective })
	n.root = n.system.Root.Copy().WithGuardian(stop)
	n.props = n.spawn.props()
}

// deadLetter counts what reached nobody within protoactor. Somebody who waits for an answer is told, and so is
// somebody who wants to watch an actor that does not exist.
func (n *Node) deadLetter(event any) {
	ev, ok := event.(*pa.DeadLetterEvent)
	if !ok {
		return
	}
	if watch, ok := ev.Message.(*pa.Watch); ok {
		if p, ok := n.system.ProcessRegistry.Get(watch.Watcher); ok {
			p.SendSystemMessage(watch.Watcher, &pa.Terminated{Who: ev.PID, Why: pa.TerminatedReason_NotFound})
		}
		return
	}
	n.counts.deadLetters.Add(1)
	if ev.Sender != nil {
		n.system.Root.Send(ev.Sender, &pa.DeadLetterResponse{})
	}
}

// bridge leads protoactor's log into ours. What protoactor calls information is of interest to its developers only:
// it tells of every actor system, dead letter and failure. We count or log those ourselves, so only warnings and worse
// get through.
func bridge(log *zap.Logger) func(*pa.ActorSystem) *slog.Logger {
	core := log.Core()
	if raised, err := zapcore.NewIncreaseLevelCore(core, zapcore.WarnLevel); err == nil {
		core = raised // otherwise it is stricter already
	}
	return func(*pa.ActorSystem) *slog.Logger {
		return slog.New(zapslog.NewHandler(core, zapslog.WithName("protoactor")))
	}
}
