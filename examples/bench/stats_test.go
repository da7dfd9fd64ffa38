package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Uint64Range(0, 1<<63-1).Draw(t, "ns")
		b := bucket(ns)
		low := lower(b)
		if low > ns || float64(ns-low) > float64(ns)/128 {
			t.Fatalf("%d is in bucket %d, which starts at %d", ns, b, low)
		}
		if bucket(low) != b || low > 0 && bucket(low-1) != b-1 {
			t.Fatalf("bucket %d does not start at %d", b, low)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var h, other hist
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for i := 1; i <= 50; i++ {
		h.add(time.Duration(i))
		other.add(time.Duration(i + 50))
	}
	h.merge(&other)
	h.add(-time.Second)
	if h.count != 101 || h.quantile(0) != 0 || h.quantile(0.5) != 50 || h.quantile(1) != 100 {
		t.Errorf("count %d, quantiles %d %d %d", h.count, h.quantile(0), h.quantile(0.5), h.quantile(1))
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{9, 1, 2}); m != 2 {
		t.Errorf("median of three is %v", m)
	}
	if m := median([]float64{9, 1, 2, 4}); m != 3 {
		t.Errorf("median of four is %v", m)
	}
}

func TestRates(t *testing.T) {
	var h hist
	for range 3000 {
		h.add(100 * time.Microsecond)
	}
	before := sample{at: time.Unix(0, 0), cpu: time.Second, syncs: 10, entries: 100, bytes: 1000}
	after := sample{at: time.Unix(2, 0), cpu: 4 * time.Second, syncs: 30, entries: 500, bytes: 9000}
	r := newResult(options{point: "latency", clusters: 1, members: 3, nodes: 3})
	r.setRates(&h, before, after)
	r.setLog(before, after)
	r.lastErr = errors.New(`not "fine"`)
	var line bytes.Buffer
	if err := printJSON(&line, r); err != nil {
		t.Fatal(err)
	}
	const want = `{"point":"latency","clusters":1,"members":3,"nodes":3,"ops_per_s":1500,"p50_us":99.84,"p99_us":99.84,` +
		`"p999_us":99.84,"cpu_s_per_million":1000,"syncs_per_s":10,"entries_per_sync":20,"wal_bytes_per_s":4000,` +
		`"last_error":"not \"fine\""}` + "\n"
	if line.String() != want {
		t.Errorf("line is\n%s, should be\n%s", line.String(), want)
	}
	if !json.Valid(line.Bytes()) {
		t.Error("line is not JSON")
	}
}

// An interrupted measurement has no rates, and says nothing wrong instead.
func TestNothingMeasured(t *testing.T) {
	r := newResult(options{})
	r.setRates(&hist{}, sample{}, sample{})
	r.setLog(sample{}, sample{})
	if len(r.figures) != 3 {
		t.Errorf("figures are %v", r.figures)
	}
}

func TestTable(t *testing.T) {
	var results []*result
	for _, ops := range []float64{100, 300, 200} {
		r := newResult(options{point: "latency", clusters: 5})
		r.set("ops_per_s", ops)
		results = append(results, r)
	}
	results[1].lastErr = errors.New("late")
	var out bytes.Buffer
	if err := printTable(&out, options{point: "latency", sync: true}, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(sync on)", "ops_per_s  100  300  200  median 200  commands or queries", "last error: late"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "p50_us") {
		t.Errorf("a figure that was not measured is in:\n%s", out.String())
	}
}
