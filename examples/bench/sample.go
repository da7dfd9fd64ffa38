package main

import (
	"runtime"
	"time"

	"github.com/heliopolis-raft/heliopolis/system"
)

// sample is what the process and its nodes have used up at one time.
type sample struct {
	at      time.Time
	cpu     time.Duration
	syncs   float64
	entries float64
	bytes   float64
}

// takeSample reads the counters of all nodes.
func takeSample(nodes []*system.Node) sample {
	s := sample{at: time.Now(), cpu: cpuTime()}
	for _, n := range nodes {
		st := n.Stats()
		s.syncs += float64(st.Syncs)
		s.entries += float64(st.Entries)
		s.bytes += float64(st.WALBytes)
	}
	return s
}

// setRates notes what happened between two samples: the times in h, and what the process and its logs did.
func (r *result) setRates(h *hist, before, after sample) {
	seconds := after.at.Sub(before.at).Seconds()
	if h.count == 0 || seconds <= 0 { // interrupted before anything was measured
		return
	}
	r.set("ops_per_s", float64(h.count)/seconds)
	r.set("p50_us", micros(h.quantile(0.5)))
	r.set("p99_us", micros(h.quantile(0.99)))
	r.set("p999_us", micros(h.quantile(0.999)))
	r.setMeasured("cpu_s_per_million", (after.cpu-before.cpu).Seconds()*1e6/float64(h.count))
}

// setLog notes what the logs did between two samples.
func (r *result) setLog(before, after sample) {
	seconds := after.at.Sub(before.at).Seconds()
	if seconds <= 0 {
		return
	}
	syncs := after.syncs - before.syncs
	r.set("syncs_per_s", syncs/seconds)
	r.set("wal_bytes_per_s", (after.bytes-before.bytes)/seconds)
	if syncs > 0 {
		r.set("entries_per_sync", (after.entries-before.entries)/syncs)
	}
}

// setProcess notes what the process holds now.
func (r *result) setProcess() {
	r.setMeasured("rss_bytes", float64(resident()))
	r.set("goroutines", float64(runtime.NumGoroutine()))
	r.setMeasured("open_files", float64(openFiles()))
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
