package wasihttp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin/host"
)

// slow is a bucket of large values behind a store that answers in time, just so.
type slow struct {
	host.Bucket
	value []byte
	takes time.Duration
}

func (s *slow) Get(ctx context.Context, _ string) (host.Entry, error) {
	select {
	case <-time.After(s.takes):
		return host.Entry{Value: s.value, Revision: 1}, nil
	case <-ctx.Done():
		return host.Entry{}, host.ErrUnavailable
	}
}

// TestBatchWaits: the calls of a batch have the patience of one exchange together.
func TestBatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 20 * time.Millisecond
		b := newBatch(t.Context(), &slow{takes: timeout - 1}, timeout, 2*timeout)
		defer b.end()
		answered := 0
		for range maxBatch {
			if _, err := b.get("k"); err != nil {
				break
			}
			answered++
		}
		if answered != patience-2 {
			t.Errorf("%d calls were answered, expected %d", answered, patience-2)
		}
	})
}

// TestBatchBytes: a batch reads no more than there is memory for.
func TestBatchBytes(t *testing.T) {
	b := newBatch(t.Context(), &slow{value: make([]byte, maxBatchBytes/4)}, 0, 0)
	defer b.end()
	for i := range 5 {
		if _, err := b.get("k"); errors.Is(err, errBatchBytes) != (i == 4) {
			t.Errorf("value %d: %v", i+1, err)
		}
	}
}

// TestLongJSON: a text is not read that takes too much memory.
func TestLongJSON(t *testing.T) {
	kind := &canon.Type{Kind: canon.Variant, Cases: []canon.Case{{Name: "json"}}}
	read := func(n int) error {
		text := "[" + strings.Repeat(" ", n-2) + "]"
		_, err := valueOf(abi.Value{List: []abi.Value{abi.String(text)}}, kind)
		return err
	}
	if err := read(maxJSON); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	if err := read(maxJSON + 1); !errors.Is(err, errJSON) {
		t.Errorf("more than that: %v", err)
	}
}
