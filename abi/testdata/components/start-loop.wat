;; Its start function never returns.
(component
  (core module $M
    (func $start (loop (br 0)))
    (start $start))
  (core instance (instantiate $M)))
