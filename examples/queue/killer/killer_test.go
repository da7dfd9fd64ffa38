package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A few rounds of what the command does at length.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program and takes some seconds")
	}
	dir := t.TempDir()
	binary, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &campaign{
		binary: binary, lines: 600, width: 300, maxKills: 4, args: []string{"-queues", "10"}, random: rand.New(rand.NewPCG(1, 2)),
	}
	o, err := c.run(t.Context(), dir, 3, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 3 {
		t.Errorf("%+v", o)
	}
}

// The campaign notices runs that are not right.
func TestCampaignNotices(t *testing.T) {
	dir := t.TempDir()
	good := `{"published":7,"delivered":7,"acknowledged":7,"lost":0,"duplicates":0,"commands":0}`
	for name, script := range map[string]string{
		"good":      "echo '" + good + "'",
		"failed":    "exit 1",
		"silent":    "exit 0",
		"lost":      "echo '" + strings.Replace(good, `"lost":0`, `"lost":1`, 1) + "'",
		"doubled":   "echo '" + strings.Replace(good, `"duplicates":0`, `"duplicates":1`, 1) + "'",
		"unsettled": "echo '" + strings.Replace(good, `"acknowledged":7`, `"acknowledged":6`, 1) + "'",
		"busy":      "echo '" + strings.Replace(good, `"commands":0`, `"commands":3`, 1) + "'",
	} {
		binary := filepath.Join(dir, name)
		if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		c := &campaign{binary: binary, lines: 7}
		_, err := c.round(context.Background(), filepath.Join(dir, "data"), "text", 0, &outcome{})
		if (err == nil) != (name == "good") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
