package wasihttp

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/extproc/extproc/abi"
)

const maxRandom = 1 << 20

// randomBytes serves wasi:random/insecure too: it is fast enough.
func randomBytes(g *guest, c *abi.Call) error {
	n := c.Args[0].Num
	if n > maxRandom {
		return fmt.Errorf("random: %d bytes asked for, at most %d are given at once", n, maxRandom)
	}
	b := g.scratch(int(n))
	rand.Read(b) // never fails
	c.Result = abi.Bytes(b)
	return nil
}

func random64(g *guest) abi.Value {
	b := g.scratch(8)
	rand.Read(b)
	return abi.U64(binary.LittleEndian.Uint64(b))
}

func randomU64(g *guest, c *abi.Call) error {
	c.Result = random64(g)
	return nil
}

func insecureSeed(g *guest, c *abi.Call) error {
	l := c.List(2)
	l[0], l[1] = random64(g), random64(g)
	c.Result = abi.Value{List: l}
	return nil
}
