package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// runOne measures one rival once in this process and prints the result as JSON.
func runOne(o options, point driver.Point) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	res, err := driver.Run(o.one, point, o.run)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

// childArgs returns the command line by which this program measures one rival at one point in a process of its own.
func childArgs(o options, rival string, point driver.Point) []string {
	return []string{
		"-one", rival, "-points", point.String(), "-payload", strconv.Itoa(o.run.Payload),
		"-warmup", o.run.WarmUp.String(), "-duration", o.run.Duration.String(),
		"-clients", strconv.Itoa(o.run.Clients), "-data", o.run.Dir,
	}
}

// measure runs one measurement in a process of its own, so that no rival finds the heap that another one left.
// prefix, if any, is a command to run it under; its standard error is returned too.
func measure(o options, prefix []string, rival string, point driver.Point) (driver.Result, string, error) {
	self, err := os.Executable()
	if err != nil {
		return driver.Result{}, "", err
	}
	argv := append(append(prefix, self), childArgs(o, rival, point)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return driver.Result{}, "", fmt.Errorf("%s at %s: %w: %s", rival, point, err, lastLine(stderr.String()))
	}
	var res driver.Result
	if err := json.Unmarshal(stdout.Bytes(), &res); err != nil {
		return res, "", fmt.Errorf("%s at %s: %w", rival, point, err)
	}
	return res, stderr.String(), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// compare measures all rivals at all points. The rivals take turns at each point, and each repetition begins with the
// next one, so that a machine that gets slower or faster meanwhile treats them alike.
func compare(o options, points []driver.Point) error {
	rivals := strings.Split(o.rivals, ",")
	for _, rival := range rivals {
		if _, err := driver.New(rival); err != nil {
			return err
		}
	}
	var results []driver.Result
	failed := 0
	for _, point := range points {
		for repeat := range o.repeat {
			for i := range rivals {
				rival := rivals[(i+repeat)%len(rivals)]
				res, _, err := measure(o, nil, rival, point)
				if err != nil {
					fmt.Fprintln(os.Stderr, "compare:", err)
					failed++
					continue
				}
				res.Repeat = repeat
				results = append(results, res)
				report(o, res)
			}
		}
	}
	if !o.json {
		printTable(os.Stdout, results, rivals, points, o.baseline)
	}
	if failed > 0 {
		return fmt.Errorf("%d measurements failed", failed)
	}
	return nil
}

// report prints one result as JSON, or as a line that shows that something is going on.
func report(o options, res driver.Result) {
	if o.json {
		line, _ := json.Marshal(res) // a struct of numbers and strings
		fmt.Println(string(line))
		return
	}
	fmt.Fprintf(os.Stderr, "%-8s %-16s %9.0f ops/s\n", res.Point, res.Rival, res.OpsPerSecond)
}
