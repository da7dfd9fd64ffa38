package machine

import (
	"errors"
	"fmt"
	"reflect"
)

// optional lists the interfaces that As looks for, one method each.
var optional = []reflect.Type{
	reflect.TypeFor[DownHandler](), reflect.TypeFor[NodeHandler](), reflect.TypeFor[TimeoutHandler](),
	reflect.TypeFor[Versioned](), reflect.TypeFor[Upgrader](), reflect.TypeFor[StateEnterer](),
	reflect.TypeFor[Ticker](), reflect.TypeFor[Overviewer](), reflect.TypeFor[SnapshotInstaller](),
	reflect.TypeFor[AuxMaker](), reflect.TypeFor[Querier](), reflect.TypeFor[ConcurrentQuerier](),
	reflect.TypeFor[Deferrer](),
}

// Vet tells of methods of a machine that bear the name of an optional interface's method but have another signature,
// so that they would quietly never be called (ra has the like, MAC-13). Call it in a test; who means another thing
// by the name can ignore what it says.
func Vet(m any) error {
	t := reflect.TypeOf(Innermost(m))
	if t == nil {
		return errors.New("machine: no machine")
	}
	var errs []error
	for _, i := range optional {
		name := i.Method(0).Name
		if method, ok := t.MethodByName(name); ok && !t.Implements(i) {
			errs = append(errs, fmt.Errorf("machine: %v.%s is %v, but %v needs %v",
				t, name, method.Type, i.Name(), i.Method(0).Type))
		}
	}
	if method, ok := t.MethodByName("ForVersion"); ok && !selectsVersions(m) {
		errs = append(errs, fmt.Errorf("machine: %v.ForVersion is %v, which selects nothing", t, method.Type))
	}
	return errors.Join(errs...)
}

// selectsVersions reports whether m, or the typed machine in it, selects versions.
func selectsVersions(m any) bool {
	if s, ok := As[interface{ selectsVersions() bool }](m); ok {
		return s.selectsVersions()
	}
	_, ok := m.(VersionSelector)
	return ok
}
