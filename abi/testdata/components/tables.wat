;; Grows a table as far as it goes.
(component
  (core module $M
    (table $t 1 funcref)
    (func (export "grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
    (func (export "size") (result i32) (table.size $t)))
  (core instance $m (instantiate $M))
  (func (export "grow") (param "by" u32) (result s32) (canon lift (core func $m "grow")))
  (func (export "size") (result u32) (canon lift (core func $m "size"))))
