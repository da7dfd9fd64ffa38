package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// tiny is what every tiny run has in common. A file system without syncs makes it fast.
const tiny = " -sync off -json -clusters 4"

// blink is what keeps the measurements short that have a length.
var blink = map[string]string{
	"latency": " -warmup 1ms -duration 20ms", "throughput": " -warmup 1ms -duration 20ms", "startup": " -duration 20ms",
	"query": " -warmup 1ms -duration 20ms",
}

// TestPoints runs every point for a blink: it must end well, say what it promises, and leave nothing behind.
func TestPoints(t *testing.T) {
	defer goleak.VerifyNone(t)
	rates := []string{"ops_per_s", "p50_us", "p99_us", "p999_us"}
	for args, want := range map[string][]string{
		"latency":                                append(rates, "inflight", "payload", "syncs_per_s", "entries_per_sync", "wal_bytes_per_s"),
		"throughput -inflight 4 -nodes 1":        append(rates, "goroutines"),
		"throughput -members 5 -nodes 2":         rates,
		"startup -members 1":                     {"all_led_s", "all_served_s", "goroutines"},
		"startup":                                {"all_led_s", "all_served_s", "goroutines"},
		"recovery -entries 50":                   {"fill_s", "all_led_s", "all_served_s", "recover_s", "entries"},
		"query -level local -clients 2":          append(rates, "clients"),
		"query -level leader -clients 2":         append(rates, "clients"),
		"query -level consistent -clients 2":     append(rates, "clients"),
		"recovery -entries 10 -nodes 1 -sync on": {"recover_s"},
	} {
		var stdout, stderr bytes.Buffer
		name, _, _ := strings.Cut(args, " ")
		all := strings.Fields(args + tiny + blink[name])
		if strings.Contains(args, "-sync on") {
			all = append(all, "-sync", "on")
		}
		if code := run(context.Background(), all, &stdout, &stderr); code != exitDone || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, message %q", args, code, stderr.String())
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Errorf("%s: %v in %q", args, err, stdout.String())
		}
		for _, key := range append(want, "clusters", "members", "nodes") {
			if v, ok := got[key].(float64); !ok || v <= 0 {
				t.Errorf("%s: %s is %v", args, key, got[key])
			}
		}
		if got["point"] != all[0] || got["errors"] != 0.0 {
			t.Errorf("%s: point %v, errors %v, last error %v", args, got["point"], got["errors"], got["last_error"])
		}
	}
}

// Repetitions begin with new nodes, and -data keeps what they wrote.
func TestRepeatAndData(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), strings.Fields("latency -repeat 2 -data "+dir+tiny+blink["latency"]), &stdout, &stderr)
	if code != exitDone || strings.Count(stdout.String(), "\n") != 2 {
		t.Errorf("exit code %d, output %q, message %q", code, stdout.String(), stderr.String())
	}
	for _, sub := range []string{"/run-0/node0", "/run-1/node2"} {
		if _, err := os.Stat(dir + sub); err != nil {
			t.Error(err)
		}
	}
}

// An interrupt at any time ends the run well.
func TestInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, name := range pointNames {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		var stdout, stderr bytes.Buffer
		code := run(ctx, strings.Fields(name+tiny), &stdout, &stderr)
		if code != exitDone || !strings.Contains(stderr.String(), "interrupted") || !json.Valid(stdout.Bytes()) {
			t.Errorf("%s: exit code %d, output %q, message %q", name, code, stdout.String(), stderr.String())
		}
	}
}
