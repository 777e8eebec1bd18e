;; Imports a core module, which a host can't supply.
(component
  (import "m" (core module $M (export "f" (func))))
  (core instance (instantiate $M)))
