;; Which calls may enter and leave component instances.

;; A parent calls its child, which calls back into the parent: allowed, as the
;; parent is not entered anew. From there the child must not be called again.
(component definition $Donut
  (core module $Indirect
    (table (export "table") 2 funcref)
    (type $f (func (result i32)))
    (func (export "call-0") (result i32) (call_indirect (type $f) (i32.const 0)))
    (func (export "call-1") (result i32) (call_indirect (type $f) (i32.const 1))))
  (core instance $indirect (instantiate $Indirect))
  (component $Child
    (import "inner" (func $inner (result u32)))
    (core func $inner (canon lower (func $inner)))
    (core module $M
      (import "" "inner" (func $inner (result i32)))
      (func (export "outer") (result i32) (i32.add (call $inner) (i32.const 1))))
    (core instance $m (instantiate $M (with "" (instance (export "inner" (func $inner))))))
    (func (export "outer") (result u32) (canon lift (core func $m "outer"))))
  (func $inner (result u32) (canon lift (core func $indirect "call-0")))
  (instance $child (instantiate $Child (with "inner" (func $inner))))
  (core func $outer (canon lower (func $child "outer")))
  (core module $Main
    (import "" "outer" (func $outer (result i32)))
    (import "" "table" (table 2 funcref))
    (global $again (mut i32) (i32.const 0))
    (func $inner (result i32)
      (if (result i32) (global.get $again) (then (call $outer)) (else (i32.const 40))))
    (elem (i32.const 0) $inner $outer)
    (func (export "once") (result i32) (i32.add (call $outer) (i32.const 1)))
    (func (export "twice") (result i32)
      (global.set $again (i32.const 1))
      (call $outer)))
  (core instance $main (instantiate $Main (with "" (instance
    (export "outer" (func $outer)) (export "table" (table $indirect "table"))))))
  (func (export "once") (result u32) (canon lift (core func $main "once")))
  (func (export "twice") (result u32) (canon lift (core func $main "twice"))))
(component instance $i $Donut)
(assert_return (invoke "once") (u32.const 42))
(assert_return (invoke "once") (u32.const 42))
(component instance $i $Donut)
(assert_trap (invoke "twice") "cannot enter component instance")

;; A component that calls its own functions through lift and lower can recurse,
;; but not without end.
(component definition $Recursion
  (core module $Indirect
    (table (export "table") 1 funcref)
    (type $f (func (param i32) (result i32)))
    (func (export "call") (param i32) (result i32)
      (call_indirect (type $f) (local.get 0) (i32.const 0))))
  (core instance $indirect (instantiate $Indirect))
  (func $f (param "n" u32) (result u32) (canon lift (core func $indirect "call")))
  (core func $f' (canon lower (func $f)))
  (core module $Main
    (import "" "f" (func $f (param i32) (result i32)))
    (import "" "table" (table 1 funcref))
    (func $sum (param $n i32) (result i32)
      (if (result i32) (local.get $n)
        (then (i32.add (local.get $n) (call $f (i32.sub (local.get $n) (i32.const 1)))))
        (else (i32.const 0))))
    (elem (i32.const 0) $sum))
  (core instance (instantiate $Main (with "" (instance
    (export "f" (func $f')) (export "table" (table $indirect "table"))))))
  (func (export "sum") (param "n" u32) (result u32) (canon lift (core func $indirect "call"))))
(component instance $i $Recursion)
(assert_return (invoke "sum" (u32.const 10)) (u32.const 55))
(assert_trap (invoke "sum" (u32.const 1000000)) "call stack exhausted")

;; A destructor that makes and drops a resource of its own type.
(component definition $Dtor
  (core module $Indirect
    (table (export "table") 1 funcref)
    (type $f (func (param i32)))
    (func (export "dtor") (param i32) (call_indirect (type $f) (local.get 0) (i32.const 0))))
  (core instance $indirect (instantiate $Indirect))
  (type $R (resource (rep i32) (dtor (core func $indirect "dtor"))))
  (core func $new (canon resource.new $R))
  (core func $drop (canon resource.drop $R))
  (core module $Main
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "table" (table 1 funcref))
    (func $dtor (param $rep i32)
      (if (local.get $rep) (then (call $make (i32.sub (local.get $rep) (i32.const 1))))))
    (func $make (export "make") (param i32) (call $drop (call $new (local.get 0))))
    (elem (i32.const 0) $dtor))
  (core instance $main (instantiate $Main (with "" (instance
    (export "new" (func $new)) (export "drop" (func $drop)) (export "table" (table $indirect "table"))))))
  (func (export "make") (param "n" u32) (canon lift (core func $main "make"))))
(component instance $i $Dtor)
(assert_return (invoke "make" (u32.const 5)))
(assert_trap (invoke "make" (u32.const 1000000)) "call stack exhausted")

;; An import must not be called from realloc.
(component definition $Realloc
  (component $C
    (core module $M (func (export "f")))
    (core instance $m (instantiate $M))
    (func (export "f") (canon lift (core func $m "f"))))
  (instance $c (instantiate $C))
  (core func $f (canon lower (func $c "f")))
  (core module $Main
    (import "" "f" (func $f))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $f) (i32.const 8))
    (func (export "take") (param i32 i32)))
  (core instance $main (instantiate $Main (with "" (instance (export "f" (func $f))))))
  (func (export "take") (param "s" string)
    (canon lift (core func $main "take") (memory (core memory $main "memory")) (realloc (core func $main "realloc")))))
(component instance $i $Realloc)
(assert_trap (invoke "take" (str.const "x")) "cannot leave component instance")

;; A lowered function is a core function like others: it can be lifted again,
;; and a start function can call it.
(component
  (component $C
    (core module $M
      (global $n (mut i32) (i32.const 0))
      (func (export "next") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (global.get $n)))
    (core instance $m (instantiate $M))
    (func (export "next") (result u32) (canon lift (core func $m "next"))))
  (instance $c (instantiate $C))
  (core func $next (canon lower (func $c "next")))
  (core module $Start
    (import "" "next" (func $next (result i32)))
    (func $start (drop (call $next)))
    (start $start))
  (core instance (instantiate $Start (with "" (instance (export "next" (func $next))))))
  (func (export "next") (result u32) (canon lift (core func $next))))
(assert_return (invoke "next") (u32.const 2))
(assert_return (invoke "next") (u32.const 3))
