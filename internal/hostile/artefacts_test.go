package hostile

import "strings"

// notLoaded are modules that are refused when they are loaded.
func notLoaded() []guest {
	const class = "artefacts"
	good := module{}
	list := []guest{
		{name: "a module without a memory", text: `(module (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))`, want: refused("has no memory")},
		{name: "a module with two memories", text: `(module (memory 1) (memory 1) (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))`, want: refused("memor")},
		{name: "a module with an imported memory", text: `(module (import "env" "memory" (memory 1)) (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))`, want: refused("memory")},
		{name: "a module with a memory of 64 bits", text: `(module (memory i64 1) (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))`, want: refused("memory")},
		{name: "a module with a shared memory", text: `(module (memory 1 2 shared) (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))`, want: refused("memory")},
		{name: "a module with two versions", text: moduleText(module{more: `(func (export "proxy_abi_version_0_1_0"))`}), want: refused("exports proxy_abi_version")},
		{name: "a module that imports what there isn't", text: strings.Replace(moduleText(good), "(module ", `(module (import "env" "proxy_steal" (func))`, 1), want: refused("proxy_steal")},
		{name: "a module that imports a hostcall of another type", text: strings.Replace(moduleText(good), "(module ", `(module (import "env" "proxy_log" (func (param i64))) `, 1), want: refused("proxy_log has type")},
		{name: "a module that imports the host's own", text: strings.Replace(moduleText(good), "(module ", `(module (import "extproc" "stop" (func)) `, 1), want: refused("extproc")},
		{name: "a module with the data behind its end", text: moduleText(module{more: `(data (i32.const 262144) "x")`}), want: refused("out of bounds")},
		{name: "a module with an element behind its table", text: moduleText(module{more: `(func $v) (table 1 funcref) (elem (i32.const 9) $v)`}), want: harmless}, // the engine leaves out what does not fit,
		{name: "a module whose start traps", text: moduleText(module{more: `(func $bad (unreachable)) (start $bad)`}), want: refused("unreachable")},
		{name: "a module whose malloc is no function of one parameter", text: strings.ReplaceAll(moduleText(good), `(export "malloc") (param i32)`, `(param i32)`), want: refused("exports no allocator")},
	}
	for i := range list {
		list[i].class = class
	}
	return list
}
