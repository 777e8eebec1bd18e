package core

// tableSection writes the tables with no maximum above opts.TableMax, nor above
// their own. Importers that name a maximum still get one that is no larger.
func (w *writer) tableSection() {
	s := w.sections[secTable]
	if !s.present {
		return
	}
	w.frame(secTable, func() {
		w.u32(s.count)
		r := &reader{wasm: w.wasm, pos: s.vec, end: s.end}
		for range s.count {
			w.table(r)
		}
	})
}

func (w *writer) table(r *reader) {
	start := r.pos
	init := r.wasm[r.pos] == 0x40
	if init {
		r.skip(2)
	}
	r.valType()
	w.out = append(w.out, w.wasm[start:r.pos]...)
	flags := r.wasm[r.pos]
	l := r.limits(false)
	most := max(l.Min, w.opts.TableMax)
	if l.HasMax {
		most = min(most, l.Max)
	}
	w.out = append(w.out, flags|1)
	w.u64(l.Min)
	w.u64(most)
	if init {
		start = r.pos
		w.constExpr(r)
		w.out = append(w.out, w.wasm[start:r.pos]...)
	}
}
