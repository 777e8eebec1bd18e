// Bench measures what a plugin costs: real Envoys with no filter, with Envoy's own
// wasm filter, with the yardstick and with extproc take turns under the same load.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/extproc/extproc/internal/envoyrun"
)

type options struct {
	extproc, yardstick, envoy string
	out                       string
	rounds, requests          int
	variants                  variants
}

func main() {
	o := &options{}
	flag.StringVar(&o.extproc, "extproc", "bin/extproc", "the extproc `program`")
	flag.StringVar(&o.yardstick, "yardstick", "bin/yardstick", "the yardstick's `program`")
	flag.StringVar(&o.out, "out", "bench.json", "the `file` to write all figures to")
	flag.IntVar(&o.rounds, "rounds", 5, "how often all contestants take turns")
	flag.IntVar(&o.requests, "requests", 10_000, "requests of a turn at concurrency 64 without bodies; other turns make fewer, in proportion")
	flag.Var(&o.variants, "also", "measure extproc in another way as well: a `program` instead of -extproc's, variables as NAME=VALUE, or both; may be repeated")
	only := flag.String("only", "", "measure contestants whose names fit a `regexp`, and the yardstick")
	under := flag.String("under", "", "measure under loads whose names fit a `regexp`, such as '1.1, concurrency 64'")
	markdown := flag.Bool("markdown", false, "measure nothing, but print -out's figures as Markdown")
	readme := flag.String("readme", "", "measure nothing, but write -out's figures into a README, a `file`, and plot them beside it")
	flag.Parse()
	var err error
	if *markdown || *readme != "" {
		err = o.show(*readme)
	} else {
		err = o.run(*only, *under)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// show shows the figures of an earlier run.
func (o *options) show(readme string) error {
	r, err := readReport(o.out)
	if err != nil {
		return err
	}
	if readme != "" {
		return r.publish(readme)
	}
	_, err = fmt.Print(r.markdown())
	return err
}

func (o *options) run(only, under string) (err error) {
	fit, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	wanted, err := regexp.Compile(under)
	if err != nil {
		return fmt.Errorf("-under: %w", err)
	}
	headers, bodies := loadsOf(headerLoads(), wanted), loadsOf(bodyLoads(), wanted)
	if len(headers)+len(bodies) == 0 {
		return fmt.Errorf("-under %q fits none of %q", under, append(headerLoads(), bodyLoads()...))
	}
	if o.rounds < 1 || o.requests < 1 {
		return fmt.Errorf("-rounds %d -requests %d: expected at least one of each", o.rounds, o.requests)
	}
	if o.envoy, err = envoyrun.Binary(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	up, err := startUpstream(ctx, filepath.Join(dir, "u"))
	if err != nil {
		return err
	}
	defer up.Close()
	r, err := o.newReport(ctx)
	if err != nil {
		return err
	}
	if r.Headers, err = o.measure(ctx, up.address, chosen(headerContestants, fit), headers); err != nil {
		return err
	}
	if r.Bodies, err = o.measure(ctx, up.address, chosen(bodyContestants, fit), bodies); err != nil {
		return err
	}
	r.LoadAfter = loadAverage()
	if err := r.write(o.out); err != nil {
		return err
	}
	return r.show(os.Stdout)
}
