;; Reads a clock in its realloc, as stock Go guests do, or creates a resource.
(component
  (import "test:host/clock@0.2.0" (instance $clock
    (export "timer" (type $timer (sub resource)))
    (export "now" (func (result u64)))
    (export "name" (func (result string)))
    (export "start" (func (result (own $timer))))))
  (core module $Memory (memory (export "memory") 1))
  (core instance $memory (instantiate $Memory))
  (core func $now (canon lower (func $clock "now")))
  (core func $start (canon lower (func $clock "start")))
  (core module $Main
    (import "clock" "now" (func $now (result i64)))
    (import "clock" "start" (func $start (result i32)))
    (import "memory" "memory" (memory 1))
    (func (export "realloc-now") (param i32 i32 i32 i32) (result i32) (drop (call $now)) (i32.const 8))
    (func (export "realloc-start") (param i32 i32 i32 i32) (result i32) (drop (call $start)) (i32.const 8))
    (func (export "length") (param i32 i32) (result i32) (local.get 1))
    (func (export "post-now") (param i32) (drop (call $now))))
  (core instance $main (instantiate $Main
    (with "memory" (instance $memory))
    (with "clock" (instance (export "now" (func $now)) (export "start" (func $start))))))
  (func (export "now") (param "s" string) (result u32)
    (canon lift (core func $main "length") (memory (core memory $memory "memory")) (realloc (core func $main "realloc-now"))))
  (func (export "start") (param "s" string) (result u32)
    (canon lift (core func $main "length") (memory (core memory $memory "memory")) (realloc (core func $main "realloc-start"))))
  (func (export "post") (param "n" u32) (param "m" u32) (result u32)
    (canon lift (core func $main "length") (post-return (core func $main "post-now")))))
