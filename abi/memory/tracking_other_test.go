//go:build !linux

package memory

import "testing"

func eachTracking(t *testing.T, test func(t *testing.T)) { test(t) }
