package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what a process has used of the processors so far. The ticks of /proc/PID/stat
// are too coarse: 10 ms are as much as a thousand requests take.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED: to the nanosecond, as clock_getcpuclockid(3) has it
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &used); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// resident is how much memory a process has, in bytes: the second field of proc_pid_statm(5).
func resident(pid int) (int, error) {
	path := fmt.Sprintf("/proc/%d/statm", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, fmt.Errorf("%s: %q: expected numbers of pages: %w", path, text, err)
	}
	return pages * os.Getpagesize(), nil
}
