// Package compose checks docker-compose.yaml. It is a module of its own: the
// library that reads such files is no concern of who builds extproc.
package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const (
	composeFile = "../../docker-compose.yaml"
	// socket is where Envoy and extproc meet.
	socket = "unix:///run/extproc/extproc.sock"
)

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
	var sockets []string
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeVolume {
				sockets = append(sockets, name+" "+volume.Target)
			} else if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from what is not there: %v", name, err)
			}
		}
	}
	if slices.Sort(sockets); !slices.Equal(sockets, []string{"envoy /run/extproc", "extproc /run/extproc"}) {
		t.Errorf("volumes: %q, expected one for the socket", sockets)
	}
	if proxy, server := project.Services["envoy"], project.Services["extproc"]; proxy.User == "" || server.Command[len(server.Command)-1] != socket {
		t.Errorf("Envoy runs as %q, extproc listens as %q says", proxy.User, server.Command)
	}
	if bootstrap, err := os.ReadFile("envoy.yaml"); err != nil || !strings.Contains(string(bootstrap), "path: "+strings.TrimPrefix(socket, "unix://")) {
		t.Errorf("Envoy does not call %s: %v", socket, err)
	}
	if exec.Command("docker", "compose", "version").Run() != nil {
		return // the library has said all there is to say
	}
	if out, err := exec.Command("docker", "compose", "-f", composeFile, "config", "--quiet").CombinedOutput(); err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}
