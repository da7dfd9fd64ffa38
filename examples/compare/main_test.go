package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// TestMain lets the tests' program stand in for the command when a test has it measure in a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-one" {
		main()
		return
	}
	os.Exit(m.Run())
}

// testOptions measures for a blink.
func testOptions(t *testing.T) options {
	o, err := parseOptions([]string{"-rivals", "etcd,heliopolis,hashicorp", "-points", "1x4", "-repeat", "1", "-data", filepath.Join(t.TempDir(), "made")})
	if err != nil {
		t.Fatal(err)
	}
	o.run.WarmUp, o.run.Duration = 50*time.Millisecond, 200*time.Millisecond
	return o
}

func TestSyncsAreReal(t *testing.T) {
	if err := exec.Command("strace", "--seccomp-bpf", "-f", "true").Run(); err != nil {
		t.Skip("strace does not work here:", err)
	}
	o := testOptions(t)
	if err := verifySync(o, []driver.Point{{Clusters: 1, InFlight: 1}, {Clusters: 3, InFlight: 4}}); err != nil {
		t.Error(err)
	}
}

func TestMeasureInChild(t *testing.T) {
	res, _, err := measure(testOptions(t), nil, "etcd", driver.Point{Clusters: 2, InFlight: 3})
	if err != nil {
		t.Fatal(err)
	}
	if res.Rival != "etcd" || res.Point != "2x3" || !res.Checked || res.TotalOps == 0 || res.Errors != 0 {
		t.Errorf("result is %+v", res)
	}
	if _, _, err := measure(testOptions(t), nil, "nobody", driver.Point{Clusters: 1, InFlight: 1}); err == nil {
		t.Error("a rival that does not exist was measured")
	} else if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("error is %v", err)
	}
}

func TestCountCalls(t *testing.T) {
	const trace = `strace: Process 12 attached
[pid    12] fsync(9)                    = 0
[pid    13] fdatasync(7 <unfinished ...>
[pid    12] io_submit(0x7f01, 1, [{aio_data=0, aio_rw_flags=RWF_DSYNC, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=14}]) = 1
[pid    12] io_submit(0x7f01, 1, [{aio_data=0, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=14}]) = 1
[pid    13] <... fdatasync resumed>)    = 0
[pid    14] io_submit(0x7f01, 1, [{aio_data=0, aio_rw_flags=RWF_DSYNC, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=14}] <unfinished ...>
[pid    14] <... io_submit resumed>)    = 1
`
	if n := countCalls(trace); n != 4 {
		t.Errorf("%d calls, should be 4", n)
	}
}

func TestTable(t *testing.T) {
	result := func(rival, point string, repeat int, ops float64) driver.Result {
		return driver.Result{Rival: rival, Point: point, Repeat: repeat, OpsPerSecond: ops}
	}
	results := []driver.Result{
		result("etcd", "1x512", 0, 100), result("hashicorp", "1x512", 0, 50),
		result("etcd", "1x512", 1, 300), result("hashicorp", "1x512", 1, 100),
		result("etcd", "1x512", 2, 400), result("hashicorp", "1x512", 2, 100),
		result("etcd", "100x8", 0, 450), result("hashicorp", "100x8", 0, 100),
	}
	if r := ratio(results, "1x512", "etcd", "hashicorp"); r != 3 {
		t.Errorf("ratio is %v, should be 3, the median of 2, 3 and 4", r)
	}
	points := []driver.Point{{Clusters: 1, InFlight: 512}, {Clusters: 100, InFlight: 8}}
	for _, c := range []struct {
		results []driver.Result
		want    string
	}{
		{results, "\nvalid: etcd does 3.00 times"},
		{results[:6], "validity not checked"},
		{append(results[:7:7], result("hashicorp", "100x8", 0, 101)), "NOT VALID"},
	} {
		var out bytes.Buffer
		printTable(&out, c.results, []string{"etcd", "hashicorp"}, points, "etcd")
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%q is not in:\n%s", c.want, out.String())
		}
	}
}

func TestBadUsage(t *testing.T) {
	for _, args := range []string{
		"-nope", "more", "-repeat 0", "-baseline nope", "-payload -1", "-payload 7", "-duration -1s", "-points x", "-points 0x1",
	} {
		if err := run(strings.Fields(args)); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
