package driver

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// memoryRival applies each command at once on all nodes. The flaws make it misbehave in one way.
type memoryRival struct {
	mu       sync.Mutex
	machines [Nodes][]Machine
	commands int
	stats    Stats
	flaw     string
}

func (r *memoryRival) Start(int, string) error { return nil }

func (r *memoryRival) StartClusters(n int) error {
	for i := range r.machines {
		r.machines[i] = make([]Machine, n)
	}
	return nil
}

func (r *memoryRival) Propose(cluster int, payload []byte, done func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands++
	for i := range r.machines {
		if r.flaw == "loses" {
			break
		}
		r.machines[i][cluster].Apply(payload)
	}
	if r.flaw == "doubles" {
		for i := range r.machines {
			r.machines[i][cluster].Apply(payload)
		}
	}
	r.stats.Syncs++
	r.stats.Entries += Nodes
	if r.flaw == "refuses" && r.commands%2 == 0 {
		done(errors.New("refused"))
		return
	}
	done(nil)
}

func (r *memoryRival) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

func (r *memoryRival) State(node, cluster int) Machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machines[node][cluster]
}

func (r *memoryRival) Close() error { return nil }

func init() {
	for _, flaw := range []string{"", "loses", "doubles", "refuses"} {
		Register("memory"+flaw, func() Rival { return &memoryRival{flaw: flaw} })
	}
}

func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	for flaw, want := range map[string]string{
		"": "", "refuses": "",
		"loses":   "acknowledged, but only 0 applied",
		"doubles": "acknowledged and none failed, but",
	} {
		opts := Options{WarmUp: time.Millisecond, Duration: 5 * time.Millisecond, Dir: t.TempDir()}
		res, err := Run("memory"+flaw, Point{Clusters: 5, InFlight: 3}, opts)
		switch {
		case want == "" && (err != nil || !res.Checked):
			t.Errorf("flaw %q: %v, checked %v", flaw, err, res.Checked)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("flaw %q: error is %v, should contain %q", flaw, err, want)
		}
		if res.TotalOps == 0 || res.EntriesASync != Nodes && res.SyncsPerS > 0 {
			t.Errorf("flaw %q: %+v", flaw, res)
		}
		if (flaw == "refuses") != (res.LastError == "refused") {
			t.Errorf("flaw %q: last error %q", flaw, res.LastError)
		}
	}
}

func TestRunUnknownRival(t *testing.T) {
	if _, err := Run("nobody", Point{1, 1}, Options{}); err == nil {
		t.Error("a rival that nobody registered was run")
	}
}

func TestMachineOrder(t *testing.T) {
	var ab, ba Machine
	for _, cmd := range []string{"aaaaaaaa", "bbbbbbbb"} {
		ab.Apply([]byte(cmd))
	}
	for _, cmd := range []string{"bbbbbbbb", "aaaaaaaa"} {
		ba.Apply([]byte(cmd))
	}
	if ab == ba || ab.Count != 2 || ba.Count != 2 {
		t.Errorf("machines are %v and %v", ab, ba)
	}
}

func TestParsePoints(t *testing.T) {
	points, err := ParsePoints("1x512, 100x8")
	if err != nil || len(points) != 2 || points[0] != (Point{1, 512}) || points[1] != (Point{100, 8}) {
		t.Errorf("points are %v, error %v", points, err)
	}
	for _, bad := range []string{"", "1", "x", "0x1", "1x0", "1x-1", "200000x1", "100000x11", "1x1,"} {
		if _, err := ParsePoints(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestHist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Uint64Range(0, 1<<63-1).Draw(t, "ns")
		b := bucket(ns)
		low := lower(b)
		if low > ns || float64(ns-low) > float64(ns)/64+1 {
			t.Fatalf("%d is in bucket %d, which starts at %d", ns, b, low)
		}
		if bucket(low) != b || (low > 0 && bucket(low-1) != b-1) {
			t.Fatalf("bucket %d does not start at %d", b, low)
		}
	})
	var h, other Hist
	for i := 1; i <= 50; i++ {
		h.Add(time.Duration(i))
		other.Add(time.Duration(i + 50))
	}
	h.Merge(&other)
	if h.Count() != 100 || h.Quantile(0) != 1 || h.Quantile(0.5) != 51 || h.Quantile(1) != 100 {
		t.Errorf("count %d, quantiles %d %d %d", h.Count(), h.Quantile(0), h.Quantile(0.5), h.Quantile(1))
	}
}
