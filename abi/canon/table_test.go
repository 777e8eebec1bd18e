package canon

import (
	"strings"
	"testing"
)

func wantErr(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, expected %q", err, want)
	}
}

func TestTableReusesLastFreedFirst(t *testing.T) {
	table, r := NewTable(0), &Resource{Name: "r"}
	add := func(rep, want uint32) {
		t.Helper()
		if i, err := table.New(r, rep, nil); err != nil || i != want {
			t.Fatalf("New returned %d, %v; expected index %d", i, err, want)
		}
	}
	drop := func(i, want uint32) {
		t.Helper()
		if own, rep, _, err := table.Drop(r, i); err != nil || !own || rep != want {
			t.Fatalf("Drop(%d) returned %v, %d, %v; expected an owned %d", i, own, rep, err, want)
		}
	}
	add(100, 1)
	add(200, 2)
	add(300, 3)
	drop(2, 200)
	add(400, 2)
	drop(1, 100)
	drop(2, 400)
	drop(3, 300)
	add(500, 3)
	add(600, 2)
	add(700, 1)
	add(800, 4)
	if table.Len() != 4 {
		t.Errorf("%d live entries, expected 4", table.Len())
	}
	table.Reset()
	if _, _, err := table.Rep(r, 1); err == nil {
		t.Error("an entry outlived Reset")
	}
	add(1, 1)
}

func TestTableTraps(t *testing.T) {
	table, r, other := NewTable(2), &Resource{Name: "r"}, &Resource{Name: "other"}
	if _, err := table.New(r, 7, nil); err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint32{0, 2, 5, 1<<32 - 1} {
		_, _, err := table.Rep(r, i)
		wantErr(t, err, "unknown handle index")
		_, _, _, err = table.Drop(r, i)
		wantErr(t, err, "unknown handle index")
	}
	_, _, err := table.Rep(other, 1)
	wantErr(t, err, "handle index 1 used with the wrong type, expected other but found a different r")
	if i, err := table.Add(Entry{Kind: WaitableEntry}); err != nil || i != 2 {
		t.Fatalf("Add returned %d, %v", i, err)
	}
	_, _, _, err = table.Drop(r, 2)
	wantErr(t, err, "expected r but found no resource")
	_, err = table.New(r, 8, nil)
	wantErr(t, err, "handle table full: limit of 2")
}

func TestTableOwned(t *testing.T) {
	table, r := NewTable(0), &Resource{Name: "r"}
	cx := &Call{Options: &Options{Table: table}}
	for rep := range uint32(3) {
		if _, err := table.New(r, rep, "obj"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cx.lowerBorrow(r, &Value{Num: 9, Obj: "lent"}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := table.Drop(r, 2); err != nil {
		t.Fatal(err)
	}
	var reps []uint32
	table.Owned(func(_ *Resource, rep uint32, obj any) {
		if obj != "obj" {
			t.Errorf("object is %v", obj)
		}
		reps = append(reps, rep)
	})
	if len(reps) != 2 || reps[0] != 0 || reps[1] != 2 {
		t.Errorf("owned are %v, expected 0 and 2", reps)
	}
}

// TestHandlesAcross passes handles from a caller's table to a callee's.
func TestHandlesAcross(t *testing.T) {
	owner := new(int)
	r := &Resource{Name: "r", Owner: owner}
	own, borrow := &Type{Kind: Own, Resource: r}, &Type{Kind: Borrow, Resource: r}
	sig := mustCompile(t, fn(nil, borrow, own))
	table := func(instance any) *Call {
		return &Call{Options: &Options{Table: NewTable(0), Instance: instance}}
	}
	caller, callee, home := table(new(int)), table(new(int)), table(owner)
	for rep := range uint64(2) {
		if _, err := caller.Options.Table.New(r, uint32(10+rep), nil); err != nil {
			t.Fatal(err)
		}
	}
	args := make([]Value, 2)
	wantErr(t, sig.LiftParams(caller, []uint64{1, 1}, args), "p1: cannot remove owned resource while borrowed")
	caller.End()
	if err := sig.LiftParams(caller, []uint64{1, 2}, args); err != nil {
		t.Fatal(err)
	}
	if args[0].Num != 10 || args[1].Num != 11 {
		t.Fatalf("lifted %v, expected reps 10 and 11", args)
	}
	_, _, _, err := caller.Options.Table.Drop(r, 1)
	wantErr(t, err, "while borrowed")
	_, _, err = caller.Options.Table.Rep(r, 2)
	wantErr(t, err, "unknown handle index 2")

	flat := make([]uint64, 2)
	if _, err := sig.LowerParams(home, args, flat); err != nil || flat[0] != 10 || flat[1] != 1 {
		t.Errorf("lowered %v, %v into the owner; expected the rep 10 and handle 1", flat, err)
	}
	if _, err := sig.LowerParams(callee, args, flat); err != nil || flat[0] != 1 || flat[1] != 2 {
		t.Fatalf("lowered %v, %v; expected handles 1 and 2", flat, err)
	}
	wantErr(t, sig.LiftResults(callee, nil, nil), "borrow handles still remain at the end of the call")
	wantErr(t, mustCompile(t, fn(own)).LiftResults(callee, []uint64{1}, make([]Value, 1)), "ownership of a borrowed")
	if own, rep, _, err := callee.Options.Table.Drop(r, 1); own || rep != 10 || err != nil {
		t.Errorf("dropping a borrow returned %v, %d, %v", own, rep, err)
	}
	if err := sig.LiftResults(callee, nil, nil); err != nil {
		t.Error(err)
	}
	caller.End()
	if own, rep, _, err := caller.Options.Table.Drop(r, 1); !own || rep != 10 || err != nil {
		t.Errorf("Drop after the call returned %v, %d, %v", own, rep, err)
	}
}

func TestHostResourceNeedsObj(t *testing.T) {
	sig := mustCompile(t, fn(nil, &Type{Kind: Own, Resource: &Resource{Name: "request"}}))
	cx := newGuest(0).call(UTF8)
	flat := make([]uint64, 1)
	_, err := sig.LowerParams(cx, []Value{{Num: 1}}, flat)
	wantErr(t, err, "host resource needs Obj")
	if _, err := sig.LowerParams(cx, []Value{{Num: 1, Obj: t}}, flat); err != nil {
		t.Fatal(err)
	}
	args := make([]Value, 1)
	if err := sig.LiftParams(cx, flat, args); err != nil || args[0].Obj != t {
		t.Errorf("lifted %v, %v; expected the object", args, err)
	}
}
