// Package compose checks docker-compose.yaml. It is a module of its own: the
// library that reads such files is no concern of who builds extproc.
package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

const composeFile = "../../docker-compose.yaml"

// TestComposeFile loads docker-compose.yaml as `docker compose config` does, with
// the library behind that command, and with the command itself where there is one.
func TestComposeFile(t *testing.T) {
	opts, err := cli.NewProjectOptions([]string{composeFile})
	if err != nil {
		t.Fatal(err)
	}
	project, err := opts.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := project.ServiceNames(); len(got) != 3 {
		t.Errorf("services: %v", got)
	}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from what is not there: %v", name, err)
			}
		}
	}
	if exec.Command("docker", "compose", "version").Run() != nil {
		return // the library has said all there is to say
	}
	if out, err := exec.Command("docker", "compose", "-f", composeFile, "config", "--quiet").CombinedOutput(); err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}
