package binary

// canon reads a canonical definition (Binary.md, canonical definitions).
func (r *reader) canon() Canon {
	const expected = "a canonical definition"
	b := r.byte(expected)
	c := Canon{Kind: CanonKind(b)}
	switch c.Kind {
	case CanonLift:
		r.funcSort(expected)
		c.Func, c.Opts, c.Type = r.u32("a core function index"), r.canonOpts(), r.typeIdx()
	case CanonLower:
		r.funcSort(expected)
		c.Func, c.Opts = r.u32("a function index"), r.canonOpts()
	case CanonTaskReturn:
		c.Result, c.Opts = r.result(), r.canonOpts()
	case CanonContextGet, CanonContextSet:
		c.ValType, c.Slot = r.coreValType(), r.u32("a context slot")
	case CanonSubtaskCancel:
		c.Async = r.bool("async")
	case CanonErrorContextNew, CanonErrorContextDebugMessage:
		c.Opts = r.canonOpts()
	case CanonWaitableSetWait, CanonWaitableSetPoll:
		c.Cancel, c.Memory = r.bool("cancellable"), r.u32("a core memory index")
	case CanonThreadNewIndirect:
		c.CoreType, c.Table = r.u32("a core type index"), r.u32("a core table index")
	case CanonThreadSuspend, CanonThreadYield, CanonThreadSuspendThenResume, CanonThreadYieldThenResume,
		CanonThreadSuspendThenPromote, CanonThreadYieldThenPromote:
		c.Cancel = r.bool("cancellable")
	case CanonThreadSpawnRef:
		c.Shared, c.CoreType = r.bool("shared"), r.u32("a core type index")
	case CanonThreadSpawnIndirect:
		c.Shared, c.CoreType, c.Table = r.bool("shared"), r.u32("a core type index"), r.u32("a core table index")
	case CanonThreadAvailableParallelism:
		c.Shared = r.bool("shared")
	case CanonBackpressureInc, CanonBackpressureDec, CanonTaskCancel, CanonSubtaskDrop, CanonErrorContextDrop,
		CanonWaitableSetNew, CanonWaitableSetDrop, CanonWaitableJoin, CanonThreadIndex, CanonThreadResumeLater:
	default:
		if !r.typedBuiltin(&c) {
			r.bad(b, expected)
		}
	}
	return c
}

// typedBuiltin reads the operands of a built-in that begin with a type index.
func (r *reader) typedBuiltin(c *Canon) bool {
	switch c.Kind {
	case CanonResourceNew, CanonResourceDrop, CanonResourceRep,
		CanonStreamNew, CanonStreamDropReadable, CanonStreamDropWritable,
		CanonFutureNew, CanonFutureDropReadable, CanonFutureDropWritable:
		c.Type = r.typeIdx()
	case CanonStreamRead, CanonStreamWrite, CanonFutureRead, CanonFutureWrite:
		c.Type, c.Opts = r.typeIdx(), r.canonOpts()
	case CanonStreamCancelRead, CanonStreamCancelWrite, CanonFutureCancelRead, CanonFutureCancelWrite:
		c.Type, c.Async = r.typeIdx(), r.bool("async")
	default:
		return false
	}
	return true
}

func (r *reader) typeIdx() uint32 { return r.u32("a type index") }

// funcSort reads the sort of a lift's or lower's operand, always a function.
func (r *reader) funcSort(what string) {
	if b := r.byte(what); b != 0x00 {
		r.bad(b, "0x00, a function")
	}
}

func (r *reader) canonOpts() []CanonOpt {
	return vec(r, "canonical options", func() CanonOpt {
		const expected = "a canonical option"
		b := r.byte(expected)
		o := CanonOpt{Kind: CanonOptKind(b)}
		switch o.Kind {
		case OptUTF8, OptUTF16, OptLatin1UTF16, OptAsync:
		case OptMemory:
			o.Idx = r.u32("a core memory index")
		case OptRealloc, OptPostReturn, OptCallback:
			o.Idx = r.u32("a core function index")
		default:
			r.bad(b, expected)
		}
		return o
	})
}
