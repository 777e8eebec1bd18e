module github.com/extproc/extproc/envoy/examples/proxy-wasm-plugins/go

go 1.26

require github.com/proxy-wasm/proxy-wasm-go-sdk v0.0.0-20260105142703-44c7d5847745
