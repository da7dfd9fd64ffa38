package etcdhost

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// The loop must not write a batch itself while acknowledgements of an earlier one wait in its inbox.
func TestSmallBatchWaitsItsTurn(t *testing.T) {
	q := newWALQueue(nil)
	q.sleeping = true
	q.next.messages = []envelope{{1, &raftpb.Message{}}, {2, &raftpb.Message{}}}
	if _, ok := q.takeSmall(3); ok {
		t.Error("a batch was taken before an earlier one was acknowledged")
	}
	b, ok := q.takeSmall(2)
	if !ok || len(b.messages) != 2 {
		t.Errorf("took %d messages, %v", len(b.messages), ok)
	}
	q.next.messages = make([]envelope, smallBatch+1)
	if _, ok := q.takeSmall(smallBatch + 1); ok {
		t.Error("a large batch was taken")
	}
	q.next.messages = make([]envelope, 1)
	q.sleeping = false
	if _, ok := q.takeSmall(1); ok {
		t.Error("a batch was taken while the goroutine may write")
	}
}

func TestStorageRefusesGap(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a gap was accepted")
		}
	}()
	s := &storage{keep: 10}
	s.append(entriesOf(1, 1, 2))
	s.append(entriesOf(1, 4, 4))
}
