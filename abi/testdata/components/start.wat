;; Has a component-level start function.
(component
  (import "f" (func $f))
  (start $f))
