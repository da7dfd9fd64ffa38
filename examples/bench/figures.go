package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// key is one figure that a measurement may yield.
type key struct{ name, meaning string }

// keys explains the figures, in the order in which they are shown.
var keys = []key{
	{"clusters", "number of clusters"},
	{"members", "members of each cluster"},
	{"nodes", "nodes, all in this process, each with its own log"},
	{"inflight", "commands in flight in each cluster"},
	{"payload", "bytes in a command"},
	{"entries", "commands that were to be recovered, over all clusters"},
	{"clients", "goroutines that ask, each one question at a time"},
	{"ops_per_s", "commands or queries answered in a second"},
	{"p50_us", "median time from submit to answer as the client sees it, in microseconds; errs by at most 0.8 %"},
	{"p99_us", "what 99 % of these times do not exceed"},
	{"p999_us", "what 99.9 % of these times do not exceed"},
	{"cpu_s_per_million", "processor seconds of the whole process, client included, for a million answers"},
	{"syncs_per_s", "syncs of all nodes' logs in a second"},
	{"entries_per_sync", "log entries that one sync made durable; each entry counts on each node"},
	{"wal_bytes_per_s", "bytes that all nodes wrote to their logs in a second"},
	{"fill_s", "seconds that writing what is to be recovered took"},
	{"all_led_s", "seconds until every cluster had a leader, from the call that starts or opens them"},
	{"all_served_s", "seconds until every cluster had answered a command, from the same call"},
	{"recover_s", "seconds until every member had also replayed exactly what was acknowledged, verified by its machine's state"},
	{"rss_bytes", "memory of the process after a collection of garbage, at the end"},
	{"rss_per_member_bytes", "growth of that memory by the members, for each of them"},
	{"goroutines", "goroutines of the process at the end"},
	{"open_files", "file descriptors of the process at the end"},
	{"idle_cpu_percent", "share of one processor that the process uses while nothing is asked of it"},
	{"errors", "commands or queries that failed; they count nowhere else"},
}

// result is what one repetition yielded.
type result struct {
	point   string
	figures map[string]float64
	lastErr error // of those that are counted as errors
}

func newResult(o options) *result {
	r := &result{point: o.point, figures: map[string]float64{}}
	r.set("clusters", float64(o.clusters))
	r.set("members", float64(o.members))
	r.set("nodes", float64(o.nodes))
	return r
}

// set notes a figure under one of the keys.
func (r *result) set(name string, v float64) { r.figures[name] = math.Round(v*1e4) / 1e4 }

// setMeasured notes a figure unless it is 0, which stands for what cannot be measured here.
func (r *result) setMeasured(name string, v float64) {
	if v != 0 {
		r.set(name, v)
	}
}

// MarshalJSON writes the figures in the order of keys.
func (r *result) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"point":%q`, r.point)
	for _, k := range keys {
		if v, ok := r.figures[k.name]; ok {
			fmt.Fprintf(&b, `,%q:%s`, k.name, decimal(v))
		}
	}
	if r.lastErr != nil {
		text, err := json.Marshal(r.lastErr.Error())
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `,"last_error":%s`, text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// decimal writes a number without an exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func printJSON(w io.Writer, r *result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// printTable prints the repetitions side by side, their median if there are several, and what the figures mean.
func printTable(w io.Writer, o options, results []*result) error {
	fmt.Fprintf(w, "%s: %s (sync %v)\n", o.point, points[o.point].about, &o.sync)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range keys {
		values := column(results, k.name)
		if len(values) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t", k.name)
		for _, v := range values {
			fmt.Fprintf(t, "%s\t", decimal(v))
		}
		if len(results) > 1 {
			fmt.Fprintf(t, "median %s\t", decimal(median(values)))
		}
		fmt.Fprintf(t, "%s\n", k.meaning)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.lastErr != nil {
			fmt.Fprintf(w, "last error: %v\n", r.lastErr)
		}
	}
	return nil
}

// column returns the values of one figure over the repetitions that have it.
func column(results []*result, name string) []float64 {
	var values []float64
	for _, r := range results {
		if v, ok := r.figures[name]; ok {
			values = append(values, v)
		}
	}
	return values
}

// median returns the middle value, or the mean of the two middle ones. There is at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
