package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// The comparison is valid only if the baseline beats hashicorp/raft by these factors: a weaker baseline would not be
// worth comparing with.
const (
	validAt512      = 1.6
	validAt100x8    = 4.5
	validAgainst    = "hashicorp"
	validPoint512   = "1x512"
	validPoint100x8 = "100x8"
)

// column returns the values of one column over the repetitions of a rival at a point.
func column(results []driver.Result, rival, point string, value func(driver.Result) float64) []float64 {
	var values []float64
	for _, r := range results {
		if r.Rival == rival && r.Point == point {
			values = append(values, value(r))
		}
	}
	return values
}

// median returns the middle value, or the mean of the two middle ones; 0 if there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// ratio returns the median, over the repetitions in which both were measured, of how many times as many commands a
// second one rival does as another; 0 if there is no such repetition.
func ratio(results []driver.Result, point, one, other string) float64 {
	rates := map[int]float64{}
	for _, r := range results {
		if r.Rival == other && r.Point == point {
			rates[r.Repeat] = r.OpsPerSecond
		}
	}
	var ratios []float64
	for _, r := range results {
		if rate := rates[r.Repeat]; r.Rival == one && r.Point == point && rate > 0 {
			ratios = append(ratios, r.OpsPerSecond/rate)
		}
	}
	return median(ratios)
}

// printTable prints the medians of all repetitions, and whether the comparison is valid.
func printTable(out io.Writer, results []driver.Result, rivals []string, points []driver.Point, baseline string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "point\trival\tops/s\tmin\tmax\t× %s\tp50 µs\tp99 µs\tp999 µs\tCPU s/M\tsyncs/s\tentries/sync\terrors\t\n", baseline)
	for _, point := range points {
		for _, rival := range rivals {
			printRow(w, results, rival, point.String(), baseline)
		}
	}
	w.Flush()
	printValidity(out, results, baseline)
}

func printRow(w io.Writer, results []driver.Result, rival, point, baseline string) {
	of := func(value func(driver.Result) float64) []float64 { return column(results, rival, point, value) }
	ops := of(func(r driver.Result) float64 { return r.OpsPerSecond })
	if len(ops) == 0 {
		fmt.Fprintf(w, "%s\t%s\tno result\t\t\t\t\t\t\t\t\t\t\t\n", point, rival)
		return
	}
	fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%.1f\t%.0f\t\n", point, rival,
		median(ops), slices.Min(ops), slices.Max(ops), ratio(results, point, rival, baseline),
		median(of(func(r driver.Result) float64 { return r.P50 })),
		median(of(func(r driver.Result) float64 { return r.P99 })),
		median(of(func(r driver.Result) float64 { return r.P999 })),
		median(of(func(r driver.Result) float64 { return r.CPUPerMillion })),
		median(of(func(r driver.Result) float64 { return r.SyncsPerS })),
		median(of(func(r driver.Result) float64 { return r.EntriesASync })),
		median(of(func(r driver.Result) float64 { return float64(r.Errors) })))
}

// printValidity says whether the baseline is as far ahead of hashicorp/raft as it has to be, if both points were run.
func printValidity(out io.Writer, results []driver.Result, baseline string) {
	at512 := ratio(results, validPoint512, baseline, validAgainst)
	at100 := ratio(results, validPoint100x8, baseline, validAgainst)
	if at512 == 0 || at100 == 0 {
		fmt.Fprintf(out, "validity not checked: needs %s and %s at %s and %s\n",
			baseline, validAgainst, validPoint512, validPoint100x8)
		return
	}
	verdict := "valid"
	if at512 < validAt512 || at100 < validAt100x8 {
		verdict = "NOT VALID"
	}
	fmt.Fprintf(out, "%s: %s does %.2f times as much as %s at %s (at least %.1f), %.2f times at %s (at least %.1f)\n",
		verdict, baseline, at512, validAgainst, validPoint512, validAt512, at100, validPoint100x8, validAt100x8)
}
