package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// startProfiles begins the profiles that were asked for; stop writes them.
func startProfiles(o options) (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var errs []error
		for _, f := range stops {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	if o.memprofile != "" {
		stops = append(stops, func() error { return writeAllocs(o.memprofile) })
	}
	if o.cpuprofile == "" {
		return stop, nil
	}
	f, err := os.Create(o.cpuprofile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	stops = append(stops, func() error { pprof.StopCPUProfile(); return f.Close() })
	return stop, nil
}

// writeAllocs writes a profile of everything allocated since the start.
func writeAllocs(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
