package core

import "fmt"

// Facts are what code can do to its instance's state beyond linear memory and
// numeric globals, as far as can be read from it without running it.
type Facts struct {
	WritesTable   bool // table.set, grow, fill, copy or init
	DropsElements bool // elem.drop
	DropsData     bool // data.drop while there is a passive data segment
	SetsReference bool // global.set of a reference or vector, own or imported
	SharedMemory  bool // defines or imports one

	dropsData, passiveData bool
}

// Resettable reports whether restoring its memory and the globals of
// ResetGlobals takes an instance of the module back to the state in which those
// were saved. If not, reason says why. Modules that share a table, memory or
// global are resettable only if all of them are.
func (f Facts) Resettable() (ok bool, reason string) {
	switch {
	case f.WritesTable:
		return false, "its code writes a table"
	case f.DropsElements:
		return false, "its code drops element segments"
	case f.DropsData:
		return false, "its code drops data segments"
	case f.SetsReference:
		return false, "it has a mutable global that is neither an integer nor a float"
	case f.SharedMemory:
		return false, "its memory is shared"
	}
	return true, ""
}

// judge completes Facts at the end of a module.
func (m *Module) judge() {
	f := &m.Facts
	f.DropsData = f.dropsData && f.passiveData
	for _, l := range m.Memories {
		f.SharedMemory = f.SharedMemory || l.Shared
	}
	for i, set := range m.changeable() {
		if set && !m.Globals[i].Val.Numeric() {
			f.SetsReference = true
		}
	}
}

// changeable tells for each global whether code of this module sets it or,
// where it is defined here and exported, code of another may.
func (m *Module) changeable() []bool {
	set := make([]bool, len(m.Globals))
	copy(set, m.mutated)
	for _, e := range m.Exports {
		if e.Type.Kind == KindGlobal && e.Type.Mutable && int(e.Index) >= m.ImportedGlobals {
			set[e.Index] = true
		}
	}
	for i := range set {
		set[i] = set[i] && m.Globals[i].Mutable
	}
	return set
}

// ResetGlobals are the names under which a rewritten module exports each global
// of its own that may change. All of them are numeric if the module is
// resettable.
func (m *Module) ResetGlobals() []string {
	var names []string
	for i, set := range m.changeable() {
		if set && i >= m.ImportedGlobals {
			names = append(names, globalExport(i))
		}
	}
	return names
}

// Names of the exports that Rewrite adds.
const (
	// Reserved is the prefix of all of them.
	Reserved = "extproc:core/"
	// StopExport is the global that ends a metered module's code.
	StopExport = Reserved + "stop"
	// StartExport is the start function of a metered module, which the host
	// calls itself after instantiating the module, where it can be stopped.
	StartExport = Reserved + "start"
)

func globalExport(i int) string { return fmt.Sprintf("%sglobal-%d", Reserved, i) }
