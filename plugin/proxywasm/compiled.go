package proxywasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/extproc/extproc/plugin"
)

// compiled is a plugin whose code is there and whose VMs are not.
type compiled struct {
	abi  *ABI
	spec *plugin.Spec
	key  codeKey
	code *code
	// odd says that the module seems not to know the root id.
	odd bool
}

var _ plugin.Compiler = (*ABI)(nil)

// Compile implements plugin.Compiler.
func (a *ABI) Compile(ctx context.Context, wasm []byte, spec *plugin.Spec) (plugin.Compiled, error) {
	c := &compiled{abi: a, spec: spec, key: keyOf(wasm, spec)}
	var err error
	c.code, err = a.codes.Take(ctx, c.key, func(ctx context.Context) (*code, error) {
		return newCode(ctx, a, wasm, spec.VM.Capabilities)
	})
	if err != nil {
		return nil, c.failed(err)
	}
	rootID := spec.RootID()
	c.odd = rootID != "" && !mentions(wasm, rootID)
	return c, nil
}

func (c *compiled) failed(err error) error { return fmt.Errorf("plugin %s: %w", c.spec.Name, err) }

// Close implements plugin.Compiled.
func (c *compiled) Close(ctx context.Context) error { return c.abi.codes.Drop(ctx, c.key) }

// Start implements plugin.Compiled.
func (c *compiled) Start(ctx context.Context) (plugin.Module, error) {
	p := newModule(c)
	var err error
	if p.services, err = c.abi.services.For(c.spec); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	if err := c.start(ctx, p); err != nil {
		p.services.Close()
		return nil, c.failed(err)
	}
	return p, nil
}

// start finds or makes the machine of a plugin and has it run the plugin too.
func (c *compiled) start(ctx context.Context, p *Module) (err error) {
	key, used := p.key(c.key), false
	p.machine, err = c.abi.machines.Take(ctx, key, func(context.Context) (*machine, error) {
		m, err := newMachine(c, key, p)
		used = err == nil
		return m, err
	})
	if !used { // there was one, with code of its own
		err = errors.Join(err, c.Close(ctx))
	}
	if err != nil {
		return err
	}
	if err := p.machine.join(ctx, p); err != nil {
		return errors.Join(err, c.abi.machines.Drop(ctx, key))
	}
	return nil
}
