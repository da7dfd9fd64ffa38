package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// story is what happens to a service.
type story struct {
	service
	anna       *Session
	bert, cleo <-chan error // tell that they have the printer
	closed     ra.NodeID
}

// tell lets things happen one after the other, and prints after each how the locks are.
func tell(ctx context.Context, out io.Writer, config func(ra.NodeID) system.Config) error {
	s := &story{service: service{config: config, nodes: map[ra.NodeID]*system.Node{}}}
	defer s.stop(ctx)
	for _, step := range []struct {
		event string
		do    func(context.Context) error
	}{
		{"the cluster has started", s.start},
		{"three owners came", s.arrive},
		{"the leader's node was closed", s.closeLeader},
		{"it was opened again", s.openClosed},
		{"anna took 1000 desks", s.takeDesks},
		{"anna's process ended", s.endAnna},
		{"bert's lease ended", s.waitForCleo},
		{"version 1 is in force", s.upgrade},
		{"all nodes were opened again", s.reopen},
	} {
		err := step.do(ctx)
		if err == nil {
			err = s.print(ctx, out, step.event)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.event, err)
		}
	}
	return nil
}

// print asks by consistent queries, whose answers contain everything that was answered before.
func (s *story) print(ctx context.Context, out io.Writer, event string) error {
	printer, err := system.Ask[Holder](ctx, s.locks.ConsistentQuery, Who{Lock: "printer"})
	if err != nil {
		return err
	}
	desk, err := system.Ask[Holder](ctx, s.locks.ConsistentQuery, Who{Lock: "desk-7"})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%-28s  printer: %-4s and %d in line, desk-7: %s\n",
		event, cmp.Or(printer.Owner.Name, "free"), printer.Waiting, cmp.Or(desk.Owner.Name, "free"))
	return err
}

func (s *story) arrive(ctx context.Context) (err error) {
	if s.anna, err = OpenSession(s.app, s.locks, "anna"); err != nil {
		return err
	}
	if _, err = s.anna.Acquire(ctx, "printer", time.Minute); err != nil {
		return err
	}
	if s.bert, err = s.comeSecond(ctx, "bert", 2*time.Second, 1); err != nil {
		return err
	}
	s.cleo, err = s.comeSecond(ctx, "cleo", time.Hour, 2)
	return err
}

// comeSecond has somebody wait for the printer, and returns when they are in line.
func (s *story) comeSecond(ctx context.Context, name string, lease time.Duration, place int) (<-chan error, error) {
	session, err := OpenSession(s.app, s.locks, name)
	if err != nil {
		return nil, err
	}
	has := make(chan error, 1)
	go func() {
		_, err := session.Acquire(ctx, "printer", lease)
		has <- err
	}()
	return has, s.until(func() (bool, error) {
		h, err := system.Ask[Holder](ctx, s.locks.ConsistentQuery, Who{Lock: "printer"})
		return h.Waiting == place, err
	})
}

// until asks again and again.
func (s *story) until(done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *story) closeLeader(ctx context.Context) error {
	leader, err := s.locks.WaitLeader(ctx)
	if err != nil {
		return err
	}
	s.closed = leader.Node
	return s.nodes[leader.Node].Close(ctx)
}

func (s *story) openClosed(ctx context.Context) error { return s.open(ctx, s.closed, newLocks) }

func (s *story) takeDesks(ctx context.Context) error {
	desks := make([]string, 1000)
	for i := range desks {
		desks[i] = fmt.Sprint("desk-", i)
	}
	tokens, err := s.anna.AcquireAll(ctx, desks, time.Minute)
	if err == nil && len(tokens) < len(desks) {
		return fmt.Errorf("only %d are free", len(tokens))
	}
	return err
}

func (s *story) endAnna(context.Context) error {
	s.anna.Close()
	return <-s.bert
}

func (s *story) waitForCleo(context.Context) error { return <-s.cleo }

// upgrade gives one node after the other the new code, and waits until it applies on each.
func (s *story) upgrade(ctx context.Context) error {
	for _, name := range names {
		if err := s.nodes[name].Close(ctx); err != nil {
			return err
		}
		if err := s.open(ctx, name, newBounded); err != nil {
			return err
		}
	}
	version := machine.QueryFunc(func(q machine.QueryContext, _ any) (any, error) { return q.Version, nil })
	for _, name := range names {
		member := s.nodes[name].Member(ra.ServerID{Name: "locks"})
		err := s.until(func() (bool, error) {
			r, err := member.LocalQuery(ctx, version)
			return err == nil && r.Reply == machine.Version(1), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reopen closes all nodes of the cluster before it opens the first again.
func (s *story) reopen(ctx context.Context) error {
	for _, name := range names {
		if err := s.nodes[name].Close(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := s.open(ctx, name, newBounded); err != nil {
			return err
		}
	}
	return nil
}
