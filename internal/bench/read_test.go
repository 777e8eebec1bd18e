package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
)

// TestReader: the module that is measured is the text beside it.
func TestReader(t *testing.T) {
	program, err := checkout.Tool("wasm-tools")
	if err != nil {
		t.Fatal(err)
	}
	made, err := exec.Command(program, "parse", "read.wat").Output()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("read.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, kept) {
		t.Error("read.wasm is not what wasm-tools parse makes of read.wat")
	}
}
