;; wasm-tools parse read.wat -o read.wasm
;; Has every piece of both bodies copied to itself, and lets it pass. It names itself
;; in the response.
(module
  (import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 34)
  (data (i32.const 1024) "x-pluginread")
  (func (export "proxy_abi_version_0_2_1"))
  ;; What is asked for is used before more is: all of it may lie at the same place, but
  ;; for pieces beyond 2 MiB, for which there is no memory.
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
    (call $read (i32.const 0) (local.get 1)))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $replace (i32.const 2) (i32.const 1024) (i32.const 8) (i32.const 1032) (i32.const 4)))
    (i32.const 0))
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
    (call $read (i32.const 1) (local.get 1)))
  (func $read (param $which i32) (param $size i32) (result i32)
    (if (i32.eqz (local.get $size)) (then (return (i32.const 0)))) ;; the end alone
    (if (call $bytes (local.get $which) (i32.const 0) (local.get $size) (i32.const 2048) (i32.const 2052))
      (then unreachable))
    (i32.const 0)))
