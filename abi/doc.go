// Package abi is the Component Model on wazero: it compiles components, links
// them with host interfaces, instantiates them and calls their functions. It
// knows nothing of HTTP, proxies or plugins.
//
//	engine, _ := abi.NewEngine(ctx, abi.Config{})
//	component, _ := engine.Compile(ctx, wasm)
//	linker := abi.NewLinker(engine)
//	linker.Define(abi.Interface{Name: "example:greet/names@0.1", Funcs: rows})
//	linked, _ := linker.Link(component)
//	instance, _ := linked.Instantiate(ctx, state)
//	err := instance.Func("", "greet").Call(ctx, args, results)
package abi
