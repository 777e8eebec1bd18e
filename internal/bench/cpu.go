package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture that Go
// runs on.
const tick = 10 * time.Millisecond

// cpuTime is what a process has used of the processors so far.
func cpuTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	used, err := parseStat(stat)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return used, nil
}

// parseStat adds up utime and stime, fields 14 and 15 of proc_pid_stat(5). The second
// field is the program's name, which may hold spaces and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	name := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[name+1:])
	if name < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("%q: expected a name in parentheses and at least 13 fields behind it", stat)
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q: expected a number of clock ticks: %w", f, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
