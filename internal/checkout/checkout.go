// Package checkout finds the project's own folders, and the programs that are
// installed in them, from wherever a test or a tool runs.
package checkout

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Root is the folder that holds the module's go.mod, found upwards from the
// working directory: tests run in their package's folder, tools in the root.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in the working directory or above it: run this inside the checkout")
		}
		dir = parent
	}
}

// Path joins the root and a path below it.
func Path(elem ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(append([]string{root}, elem...)...), nil
}

// Tool is a program: the one that `make tools` installs, or else the one on PATH.
func Tool(name string) (string, error) {
	if path, err := Path(".tools", "bin", name); err == nil {
		if _, err := exec.LookPath(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("no %s in .tools/bin or on PATH: `make tools` installs it", name)
	}
	return path, nil
}
