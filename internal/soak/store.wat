;; wasm-tools parse store.wat -o store.wasm
;; Stores a value with each request and reads it with the response, and tells in
;; x-store what came of reading it: a letter for the status, a if all is well.
(module
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "key\00value\00x-store")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $set (i32.const 1024) (i32.const 3) (i32.const 1028) (i32.const 5) (i32.const 0)))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 1060) (i32.add (i32.const 97) ;; a for 0, b for 1
      (call $get (i32.const 1024) (i32.const 3) (i32.const 2048) (i32.const 2052) (i32.const 2056))))
    (drop (call $replace (i32.const 2) (i32.const 1034) (i32.const 7) (i32.const 1060) (i32.const 1)))
    (i32.const 0)))
