package wasihttp

import (
	"maps"
	"slices"

	"github.com/extproc/extproc/abi"
)

func configGet(g *guest, c *abi.Call) error {
	value, ok := g.mod.spec.ConfigMap[c.Args[0].Str]
	if !ok {
		c.Result = c.Ok(c.None())
		return nil
	}
	c.Result = c.Ok(c.Some(abi.String(value)))
	return nil
}

func configGetAll(g *guest, c *abi.Call) error {
	c.Result = c.Ok(pairs(c, g.mod.spec.ConfigMap))
	return nil
}

// pairs is a list<tuple<string, string>>, sorted by key.
func pairs(c *abi.Call, m map[string]string) abi.Value {
	list := c.List(len(m))[:0]
	for _, key := range slices.Sorted(maps.Keys(m)) {
		pair := c.List(2)
		pair[0], pair[1] = abi.String(key), abi.String(m[key])
		list = append(list, abi.Value{List: pair})
	}
	return abi.Value{List: list}
}
