package binary

import "fmt"

// CanonKind is a canonical definition; its values are the binary format's
// opcodes.
type CanonKind uint8

// The canonical definitions, synchronous ones first.
const (
	CanonLift         CanonKind = 0x00
	CanonLower        CanonKind = 0x01
	CanonResourceNew  CanonKind = 0x02
	CanonResourceDrop CanonKind = 0x03
	CanonResourceRep  CanonKind = 0x04

	CanonTaskCancel                 CanonKind = 0x05
	CanonSubtaskCancel              CanonKind = 0x06
	CanonTaskReturn                 CanonKind = 0x09
	CanonContextGet                 CanonKind = 0x0a
	CanonContextSet                 CanonKind = 0x0b
	CanonThreadYield                CanonKind = 0x0c
	CanonSubtaskDrop                CanonKind = 0x0d
	CanonStreamNew                  CanonKind = 0x0e
	CanonStreamRead                 CanonKind = 0x0f
	CanonStreamWrite                CanonKind = 0x10
	CanonStreamCancelRead           CanonKind = 0x11
	CanonStreamCancelWrite          CanonKind = 0x12
	CanonStreamDropReadable         CanonKind = 0x13
	CanonStreamDropWritable         CanonKind = 0x14
	CanonFutureNew                  CanonKind = 0x15
	CanonFutureRead                 CanonKind = 0x16
	CanonFutureWrite                CanonKind = 0x17
	CanonFutureCancelRead           CanonKind = 0x18
	CanonFutureCancelWrite          CanonKind = 0x19
	CanonFutureDropReadable         CanonKind = 0x1a
	CanonFutureDropWritable         CanonKind = 0x1b
	CanonErrorContextNew            CanonKind = 0x1c
	CanonErrorContextDebugMessage   CanonKind = 0x1d
	CanonErrorContextDrop           CanonKind = 0x1e
	CanonWaitableSetNew             CanonKind = 0x1f
	CanonWaitableSetWait            CanonKind = 0x20
	CanonWaitableSetPoll            CanonKind = 0x21
	CanonWaitableSetDrop            CanonKind = 0x22
	CanonWaitableJoin               CanonKind = 0x23
	CanonBackpressureInc            CanonKind = 0x24
	CanonBackpressureDec            CanonKind = 0x25
	CanonThreadIndex                CanonKind = 0x26
	CanonThreadNewIndirect          CanonKind = 0x27
	CanonThreadResumeLater          CanonKind = 0x28
	CanonThreadSuspend              CanonKind = 0x29
	CanonThreadSuspendThenResume    CanonKind = 0x2a
	CanonThreadYieldThenResume      CanonKind = 0x2b
	CanonThreadSuspendThenPromote   CanonKind = 0x2c
	CanonThreadYieldThenPromote     CanonKind = 0x2d
	CanonThreadSpawnRef             CanonKind = 0x40
	CanonThreadSpawnIndirect        CanonKind = 0x41
	CanonThreadAvailableParallelism CanonKind = 0x42
)

var canonNames = map[CanonKind]string{
	CanonLift:                       "lift",
	CanonLower:                      "lower",
	CanonResourceNew:                "resource.new",
	CanonResourceDrop:               "resource.drop",
	CanonResourceRep:                "resource.rep",
	CanonTaskCancel:                 "task.cancel",
	CanonSubtaskCancel:              "subtask.cancel",
	CanonTaskReturn:                 "task.return",
	CanonContextGet:                 "context.get",
	CanonContextSet:                 "context.set",
	CanonThreadYield:                "thread.yield",
	CanonSubtaskDrop:                "subtask.drop",
	CanonStreamNew:                  "stream.new",
	CanonStreamRead:                 "stream.read",
	CanonStreamWrite:                "stream.write",
	CanonStreamCancelRead:           "stream.cancel-read",
	CanonStreamCancelWrite:          "stream.cancel-write",
	CanonStreamDropReadable:         "stream.drop-readable",
	CanonStreamDropWritable:         "stream.drop-writable",
	CanonFutureNew:                  "future.new",
	CanonFutureRead:                 "future.read",
	CanonFutureWrite:                "future.write",
	CanonFutureCancelRead:           "future.cancel-read",
	CanonFutureCancelWrite:          "future.cancel-write",
	CanonFutureDropReadable:         "future.drop-readable",
	CanonFutureDropWritable:         "future.drop-writable",
	CanonErrorContextNew:            "error-context.new",
	CanonErrorContextDebugMessage:   "error-context.debug-message",
	CanonErrorContextDrop:           "error-context.drop",
	CanonWaitableSetNew:             "waitable-set.new",
	CanonWaitableSetWait:            "waitable-set.wait",
	CanonWaitableSetPoll:            "waitable-set.poll",
	CanonWaitableSetDrop:            "waitable-set.drop",
	CanonWaitableJoin:               "waitable.join",
	CanonBackpressureInc:            "backpressure.inc",
	CanonBackpressureDec:            "backpressure.dec",
	CanonThreadIndex:                "thread.index",
	CanonThreadNewIndirect:          "thread.new-indirect",
	CanonThreadResumeLater:          "thread.resume-later",
	CanonThreadSuspend:              "thread.suspend",
	CanonThreadSuspendThenResume:    "thread.suspend-then-resume",
	CanonThreadYieldThenResume:      "thread.yield-then-resume",
	CanonThreadSuspendThenPromote:   "thread.suspend-then-promote",
	CanonThreadYieldThenPromote:     "thread.yield-then-promote",
	CanonThreadSpawnRef:             "thread.spawn-ref",
	CanonThreadSpawnIndirect:        "thread.spawn-indirect",
	CanonThreadAvailableParallelism: "thread.available-parallelism",
}

// String is the definition's name in the text format.
func (k CanonKind) String() string {
	if s, ok := canonNames[k]; ok {
		return s
	}
	return fmt.Sprintf("0x%02x", uint8(k))
}

// Canon is one canonical definition (section 8). Func is the core function of a
// lift and the function of a lower; Type is the function type of a lift and the
// type operand of the built-ins. Async, Cancel, Shared, CoreType, Memory, Table,
// ValType and Slot are the operands of asynchronous built-ins.
type Canon struct {
	Kind CanonKind
	Func uint32
	Type uint32
	Opts []CanonOpt

	Async, Cancel, Shared bool
	CoreType              uint32
	Memory, Table         uint32
	Result                *ValType
	ValType               CoreValType
	Slot                  uint32
}

// CanonOptKind is a canonical option; its values are the binary format's
// opcodes.
type CanonOptKind uint8

// The canonical options.
const (
	OptUTF8 CanonOptKind = iota
	OptUTF16
	OptLatin1UTF16
	OptMemory
	OptRealloc
	OptPostReturn
	OptAsync
	OptCallback
)

// CanonOpt is a canonical option and its index, if it has one.
type CanonOpt struct {
	Kind CanonOptKind
	Idx  uint32
}

func (CoreModule) def()   {}
func (CoreInstance) def() {}
func (CoreType) def()     {}
func (*Component) def()   {}
func (Instance) def()     {}
func (Alias) def()        {}
func (Type) def()         {}
func (Canon) def()        {}
func (Start) def()        {}
func (Import) def()       {}
func (Export) def()       {}
func (Value) def()        {}
