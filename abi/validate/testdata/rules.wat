;; One component per rule. A line ";;; name" begins a case; the following line
;; ";; error: text" says that the component must be refused with that text.
;; rules.json holds the binaries: go test -run TestRules -update

;;; empty
(component)

;;; fixed-length list of no elements
;; error: must be longer than 0
(component (type (list u8 0)))

;;; map with a key that is no key type
;; error: cannot be the key of a map
(component (type (map f32 u8)))

;;; map whose key is a primitive behind an index
(component (type $k string) (type (map $k u8)))

;;; future of a borrow
;; error: cannot carry a borrow
(component (import "r" (type $r (sub resource))) (type (future (borrow $r))))

;;; parameter names conflict by case
;; error: parameter "A-b" conflicts with parameter "a-B"
(component (type (func (param "a-B" u8) (param "A-b" u8))))

;;; label begins with a digit
;; error: "1a" is not in kebab case
(component (type (flags "1a")))

;;; type index of a wrong kind
;; error: type 0 is an instance type, not a value type
(component (type $i (instance)) (type (list $i)))

;;; record too large
;; error: takes 268435456 bytes or more
(component (type $half (list u8 134217728)) (type (tuple $half $half)))

;;; resource outside of a component
;; error: a resource can only be defined in a component
(component (type (instance (type (resource (rep i32))))))

;;; destructor of a wrong type
;; error: the destructor must be a core func [i32] -> [], but is a func [] -> []
(component
  (core module $m (func (export "d")))
  (core instance $i (instantiate $m))
  (type (resource (rep i32) (dtor (core func $i "d")))))

;;; interface names
(component
  (import "wasi:http/types@0.2.10" (instance))
  (import "wasi:http/types@0.3.0-rc-2025-01-01" (instance))
  (import "wasi:http/types@0.2" (instance))
  (import "wasi:http/types" (instance)))

;;; version without a patch that is none of a track
;; error: version "1.2" is not major.minor.patch
(component (import "a:b/c@1.2" (instance)))

;;; version with a leading zero
;; error: not a number without leading zeroes
(component (import "a:b/c@1.02.3" (instance)))

;;; interface names conflict by case
;; error: the name conflicts with "a:b/c"
(component (import "a:b/c" (func)) (import "a:b/C" (func)))

;;; versions do not conflict by case
(component (import "a:b/c@1.0.0-rc" (func)) (import "a:b/c@1.0.0-RC" (func)))

;;; unknown annotation
;; error: is none of [constructor], [method] and [static]
(component binary "\00asm\0d\00\01\00" "\07\05\01\40\00\01\00" "\0a\0b\01\00\06[get]x\01\00")

;;; version suffix
(component binary "\00asm\0d\00\01\00" "\07\03\01\42\00"
  "\0a\13\01\02\07a:b/c@1\01\01\04.2.3\05\00")

;;; version suffix of a full version
;; error: does not end in a version such as 1 or 0.2
(component binary "\00asm\0d\00\01\00" "\07\03\01\42\00"
  "\0a\17\01\02\0ba:b/c@1.2.3\01\01\04.2.3\05\00")

;;; implements on a func
;; error: only an instance can have the attribute implements
(component (import "a" (implements "b:c/d") (func)))

;;; method of a resource
(component
  (import "x" (instance
    (export "r" (type $r (sub resource)))
    (export "[constructor]r" (func (result (own $r))))
    (export "[method]r.get" (func (param "self" (borrow $r)) (result string)))
    (export "[static]r.of" (func (param "s" string) (result (own $r)))))))

;;; method whose self is another resource
;; error: expected borrow<r>, found borrow<q>
(component
  (import "q" (type $q (sub resource)))
  (import "r" (type $r (sub resource)))
  (import "[method]r.get" (func (param "self" (borrow $q)))))

;;; method that is named as its resource
;; error: the name conflicts with "r"
(component
  (import "r" (type $r (sub resource)))
  (import "[method]r.R" (func (param "self" (borrow $r)))))

;;; constructor that may fail
(component
  (import "r" (type $r (sub resource)))
  (import "[constructor]r" (func (result (result (own $r) (error string))))))

;;; import uses an unnamed record
;; error: import "f": uses a record, which has no name among the imports before it
(component (type $t (record (field "x" u8))) (import "f" (func (param "x" $t))))

;;; import uses the name of an export
;; error: which has no name among the imports before it
(component
  (type $t (enum "a"))
  (export $e "t" (type $t))
  (import "f" (func (param "x" $e))))

;;; export of a function over a named resource
(component
  (import "r" (type $r (sub resource)))
  (import "f" (func $f (result (list (own $r)))))
  (export "g" (func $f)))

;;; instance with a function before its type's name
;; error: uses a record (in its export "f")
(component
  (core module $m (func (export "f") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (type $t (record (field "x" u8)))
  (func $f (result $t) (canon lift (core func $i "f")))
  (instance $bag (export "f" (func $f)) (export "t" (type $t)))
  (export "i" (instance $bag)))

;;; outer alias of a resource into a component
;; error: a type that refers to resources cannot be aliased from outside
(component $c (import "r" (type $r (sub resource))) (component (alias outer $c $r (type))))

;;; outer alias of an instance type with its own resource
(component $c
  (type $i (instance (export "r" (type $r (sub resource))) (export "f" (func (result (own $r))))))
  (component (alias outer $c $i (type $j)) (import "i" (instance (type $j)))))

;;; outer alias too far out
;; error: the alias goes out by 2 scopes
(component (type $t u8) (component (alias outer 2 0 (type))))

;;; alias of a func in a component type
;; error: in a component or instance type only types and exported instances can be aliased
(component (type (component
  (import "i" (instance $i (export "f" (func))))
  (alias export $i "f" (func)))))

;;; alias of a missing export
;; error: alias of export "g" of instance 0: instance 0 has no such export
(component (import "i" (instance $i (export "f" (func)))) (alias export $i "g" (func)))

;;; resource passed through
(component
  (component $c
    (import "r" (type $r (sub resource)))
    (import "make" (func (result (own $r))))
    (export "s" (type $r)))
  (import "t" (type $t (sub resource)))
  (import "make" (func $make (result (own $t))))
  (instance $i (instantiate $c (with "r" (type $t)) (with "make" (func $make))))
  (alias export $i "s" (type $s))
  (component $same (import "a" (type $a (sub resource))) (import "b" (type (eq $a))))
  (instance (instantiate $same (with "a" (type $t)) (with "b" (type $s)))))

;;; resources of two instances
;; error: argument "b": resource types are not the same
(component
  (component $c (type $r (resource (rep i32))) (export "r" (type $r)))
  (instance $i (instantiate $c))
  (instance $j (instantiate $c))
  (component $same (import "a" (type $a (sub resource))) (import "b" (type (eq $a))))
  (instance (instantiate $same (with "a" (type $i "r")) (with "b" (type $j "r")))))

;;; abstract export hides that it is the imported resource
;; error: argument "c" > export "u": resource types are not the same
(component
  (component $loose
    (import "t" (type $t (sub resource)))
    (export "u" (type $t) (type (sub resource))))
  (component $needs
    (import "c" (component
      (import "t" (type $t (sub resource)))
      (export "u" (type (eq $t))))))
  (instance (instantiate $needs (with "c" (component $loose)))))

;;; component with fewer imports and more exports
(component
  (component $c (import "a" (func $a)) (export "x" (func $a)) (export "y" (func $a)))
  (component $needs (import "c" (component (import "a" (func)) (import "b" (func)) (export "x" (func)))))
  (instance (instantiate $needs (with "c" (component $c)))))

;;; component that needs more than it is given
;; error: argument "c": it needs the import "b"
(component
  (component $c (import "b" (func)))
  (component $needs (import "c" (component)))
  (instance (instantiate $needs (with "c" (component $c)))))

;;; function of another type
;; error: argument "f" > parameter "x" > element of a list: expected u8, found string
(component
  (import "f" (func $f (param "x" (list string))))
  (component $c (import "f" (func (param "x" (list u8)))))
  (instance (instantiate $c (with "f" (func $f)))))

;;; function that is async
;; error: expected func(), found async func()
(component
  (import "f" (func $f async))
  (component $c (import "f" (func)))
  (instance (instantiate $c (with "f" (func $f)))))

;;; nested instance without an export
;; error: instance 2 > argument "i" > export "j": the export "f" is missing
(component
  (component $c (import "i" (instance (export "j" (instance (export "f" (func)))))))
  (instance $j)
  (instance $i (export "j" (instance $j)))
  (instance (instantiate $c (with "i" (instance $i)))))

;;; argument missing
;; error: no argument is given for the import "f" of component 0
(component (component $c (import "f" (func))) (instance (instantiate $c)))

;;; core import missing
;; error: it has no export "g", which core module 1 imports
(component
  (core module $a (func (export "f")))
  (core module $b (import "a" "g" (func)))
  (core instance $i (instantiate $a))
  (core instance (instantiate $b (with "a" (instance $i)))))

;;; core memory too small
;; error: expected a memory of 2 to 3, found a memory of 1 to 3
(component
  (core module $a (memory (export "m") 1 3))
  (core module $b (import "a" "m" (memory 2 3)))
  (core instance $i (instantiate $a))
  (core instance (instantiate $b (with "a" (instance $i)))))

;;; core global that is mutable
;; error: expected a global i32, found a mutable global i32
(component
  (core module $a (global (export "g") (mut i32) (i32.const 0)))
  (core module $b (import "a" "g" (global i32)))
  (core instance $i (instantiate $a))
  (core instance (instantiate $b (with "a" (instance $i)))))

;;; module type with limits upside down
;; error: the maximum size of the memory is less than its minimum
(component (core type (module (import "a" "m" (memory 2 1)))))

;;; lift of a wrong signature
;; error: is a func [i64] -> [], but to be lifted as func(x: u32) it must be a func [i32] -> []
(component
  (core module $m (func (export "f") (param i64)))
  (core instance $i (instantiate $m))
  (func (param "x" u32) (canon lift (core func $i "f"))))

;;; lift of sixteen and of seventeen parameters
;; error: the option memory is required
(component
  (type $a (tuple u8 u8 u8 u8 u8 u8 u8 u8))
  (core module $m
    (func (export "f") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32))
    (func (export "g") (param i32)))
  (core instance $i (instantiate $m))
  (func (param "x" $a) (param "y" $a) (canon lift (core func $i "f")))
  (func (param "x" $a) (param "y" $a) (param "z" u8) (canon lift (core func $i "g"))))

;;; variant whose payloads join
(component
  (type $v (variant (case "a" f32) (case "b" (tuple u32 f64)) (case "c" (tuple f64 f32))))
  (core module $m (func (export "f") (param i32 i64 i64)))
  (core instance $i (instantiate $m))
  (func (param "x" (tuple $v)) (canon lift (core func $i "f"))))

;;; lower of a string result without realloc
;; error: the option realloc is required
(component
  (import "f" (func $f (result string)))
  (core module $m (memory (export "m") 1))
  (core instance $i (instantiate $m))
  (core func (canon lower (func $f) (memory (core memory $i "m")))))

;;; memory of 64 bits
;; error: 64-bit memory of 1, which is not supported here
(component
  (import "f" (func $f (param "s" string)))
  (core module $m (memory (export "m") i64 1))
  (core instance $i (instantiate $m))
  (core func (canon lower (func $f) (memory (core memory $i "m")))))

;;; async lower needs a place for its result
;; error: the option memory is required
(component (import "f" (func $f async (result u8))) (core func (canon lower (func $f) async)))

;;; async lift with callback
(component
  (core module $m
    (func (export "f") (param i32) (result i32) unreachable)
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func async (param "x" u32) (result u64)
    (canon lift (core func $i "f") async (callback (core func $i "cb")))))

;;; callback without async
;; error: the option callback requires the option async
(component
  (core module $m
    (func (export "f"))
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func async (canon lift (core func $i "f") (callback (core func $i "cb")))))

;;; task.return with realloc
;; error: the option realloc is not allowed here
(component
  (core module $m
    (memory (export "m") 1)
    (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (core func (canon task.return (result string) (memory (core memory $i "m")) (realloc (core func $i "r")))))

;;; context slot
;; error: there is no context slot 2
(component (core func (canon context.get i32 2)))

;;; stream built-in on a future
;; error: type 0 must be a stream, but is a future
(component (type $f (future u8)) (core func (canon stream.new $f)))

;;; stream of bytes without memory
;; error: the option memory is required
(component (type $s (stream u8)) (core func (canon stream.read $s async)))

;;; built-ins get the types that modules expect
(component
  (type $s (stream u8))
  (core module $libc (memory (export "m") 1))
  (core instance $libc (instantiate $libc))
  (core func $new (canon stream.new $s))
  (core func $read (canon stream.read $s async (memory (core memory $libc "m"))))
  (core func $join (canon waitable.join))
  (core func $yield (canon thread.yield))
  (core func $get (canon context.get i32 0))
  (core module $m
    (import "" "new" (func (result i64)))
    (import "" "read" (func (param i32 i32 i32) (result i32)))
    (import "" "join" (func (param i32 i32)))
    (import "" "yield" (func (result i32)))
    (import "" "get" (func (result i32))))
  (core instance (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "read" (func $read)) (export "join" (func $join))
    (export "yield" (func $yield)) (export "get" (func $get)))))))

;;; resource.rep of an imported resource
;; error: type 0 is not a resource that this component defines
(component (import "r" (type $r (sub resource))) (core func (canon resource.rep $r)))

;;; place of an error in nested definitions
;; error: component 0 > component 0 > type 1 > type 0 > field "x": type index 9 is out of bounds
(component (component (component (type u8) (type (instance (type (record (field "x" 9))))))))

;;; types for people
(component
  (import "x:y/z@1.0.0" (instance $i
    (export "fields" (type $fields (sub resource)))
    (type $e (variant (case "syntax") (case "other" (option string))))
    (export "set-error" (type $set-error (eq $e)))
    (type $p (record (field "x" u32) (field "y" (tuple u8 f64))))
    (export "point" (type $point (eq $p)))
    (type $m (flags "r" "w"))
    (export "modes" (type (eq $m)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.set" (func (param "self" (borrow $fields)) (param "all" (map string (list char)))
      (result (result (error $set-error)))))
    (type $s (stream u8))
    (type $f (future))
    (export "watch" (func async (param "p" $point) (result (result $s (error $f)))))
    (export "get" (func (param "e" $set-error) (result (list u8 4))))))
  (alias export $i "get" (func $get))
  (export "get" (func $get)))
