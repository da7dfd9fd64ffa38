package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseDefaults(t *testing.T) {
	for _, name := range pointNames {
		var notes bytes.Buffer
		o, err := parse([]string{name}, &notes)
		if err != nil || notes.Len() > 0 {
			t.Errorf("%s: error %v, notes %q", name, err, notes.String())
		}
		if o.point != name || o.members != 3 || o.nodes != 3 || !bool(o.sync) || o.repeat != 1 {
			t.Errorf("%s: options are %+v", name, o)
		}
	}
}

func TestParseFlags(t *testing.T) {
	var notes bytes.Buffer
	o, err := parse(strings.Fields("query -clusters 7 -members 1 -nodes 2 -duration 5s -warmup 0s -repeat 2 "+
		"-level local -clients 4 -data /d -sync off -json -entries 9"), &notes)
	want := options{
		point: "query", clusters: 7, members: 1, nodes: 2, inflight: 1, payload: 256, duration: 5 * time.Second, repeat: 2,
		entries: 9, level: "local", clients: 4, data: "/d", json: true,
	}
	if err != nil || o != want {
		t.Errorf("error %v, options are\n%+v, should be\n%+v", err, o, want)
	}
	if notes.String() != "bench: -entries means nothing for query\n" {
		t.Errorf("notes are %q", notes.String())
	}
}

func TestBadUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "name a point",
		"speed":               `no point "speed"`,
		"-clusters 3 latency": "-clusters stands before the point",
		"latency more":        `unexpected argument "more"`,
		"latency -fast":       "-fast",
		"latency -clusters 0": "-clusters is 0, allowed are 1 to",
		"latency -clusters x": "invalid value",
		"latency -members 16": "-members is 16",
		"latency -nodes 0":    "-nodes is 0",
		"latency -inflight 0": "-inflight is 0",
		"throughput -clusters 1000 -inflight 2000": "-inflight is 2000, allowed are 1 to 1048",
		"latency -payload 0":                       "-payload is 0",
		"latency -repeat 0":                        "-repeat is 0",
		"recovery -entries 0":                      "-entries is 0",
		"query -clients -1":                        "-clients is -1",
		"latency -duration 0s":                     "-duration must be above 0",
		"latency -warmup -1s":                      "-warmup",
		"query -level stale":                       `-level is "stale"`,
		"latency -sync maybe":                      "must be on or off",
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(args), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), want) || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, output %q, message %q should contain %q", args, code, stdout.String(), stderr.String(), want)
		}
	}
}

// Whatever can be set or comes out is explained, in the help and in the README.
func TestEverythingIsExplained(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var help, stderr bytes.Buffer
	if code := run(context.Background(), []string{"-help"}, &help, &stderr); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("exit code %d, message %q", code, stderr.String())
	}
	for _, name := range pointNames {
		if code := run(context.Background(), []string{name, "-help"}, &help, &stderr); code != exitDone {
			t.Errorf("%s: exit code %d", name, code)
		}
		if !strings.Contains(help.String(), "  "+name+" ") || !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("point %s is not explained", name)
		}
	}
	for _, k := range keys {
		if !strings.Contains(help.String(), "  "+k.name+" ") || !strings.Contains(string(readme), "| `"+k.name+"` | "+k.meaning+" |") {
			t.Errorf("key %s is not explained", k.name)
		}
	}
	for _, f := range []string{
		"clusters", "members", "nodes", "inflight", "payload", "duration", "warmup", "repeat", "entries", "level",
		"clients", "data", "sync", "json", "cpuprofile", "memprofile",
	} {
		if !strings.Contains(help.String(), "  -"+f) || !strings.Contains(string(readme), "`-"+f) {
			t.Errorf("option -%s is not explained", f)
		}
	}
}

func TestDataDirMustBeEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), []string{"latency", "-data", dir}, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "is not empty") {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}

func TestHelp(t *testing.T) {
	var all, query, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &all, &stderr); code != exitDone || !strings.Contains(all.String(), "flags of latency") {
		t.Errorf("code %d, help is %s", code, all.String())
	}
	code := run(t.Context(), []string{"query", "-h"}, &query, &stderr)
	if help := query.String(); code != exitDone || !strings.Contains(help, "(default 16)") || strings.Contains(help, "-entries number") {
		t.Errorf("code %d, help for query is %s", code, help)
	}
	if stderr.Len() > 0 {
		t.Errorf("errors %q", stderr.String())
	}
}
