package abi

import (
	"slices"
	"strings"
)

// track cuts the version of an interface name to its semver track, the part
// that must be equal for versions to be compatible: "a:b/c@0.2.3-rc.1" becomes
// "a:b/c@0.2". ok is false for names without a full version.
func track(name string) (cut string, ok bool) {
	iface, version, ok := strings.Cut(name, "@")
	if !ok {
		return "", false
	}
	version, _, _ = strings.Cut(version, "+")
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return "", false
	}
	n := 1
	for n < 3 && parts[n-1] == "0" {
		n++
	}
	return iface + "@" + strings.Join(parts[:n], "."), true
}

// find looks an item up by its name, or by the track of its name.
func (d *instanceDef) find(name string) (item, bool) {
	if it, ok := d.items[name]; ok {
		return it, true
	}
	i := slices.IndexFunc(d.names, func(n string) bool {
		t, ok := track(n)
		return ok && t == name
	})
	if i < 0 {
		return item{}, false
	}
	return d.items[d.names[i]], true
}

// function is the function called name of an instance, or of d itself.
func (d *instanceDef) function(instance, name string) *function {
	if instance != "" {
		it, ok := d.find(instance)
		if !ok || it.instance == nil {
			return nil
		}
		d = it.instance
	}
	it, _ := d.find(name)
	return it.fn
}
