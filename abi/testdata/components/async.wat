;; Exports an asynchronous function, as WASI 0.3 components do.
(component
  (core module $M (func (export "f")))
  (core instance $m (instantiate $M))
  (func (export "f") async (canon lift (core func $m "f"))))
