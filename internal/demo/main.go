// Command demo shows a plugin at work: it starts an upstream, extproc and a real
// Envoy, sends the same requests with and without the plugin in the way, prints
// what the plugin changed, and stays up for more.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var opts options
	flag.StringVar(&opts.extproc, "extproc", "bin/extproc", "the extproc `program`")
	flag.StringVar(&opts.plugin, "plugin", "envoy/examples/header-rules/rust.wasm", "the plugin's wasm `file`")
	flag.BoolVar(&opts.once, "once", false, "end after the requests")
	flag.Parse()

	if err := run(opts); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type options struct {
	extproc, plugin string
	once            bool
}

func run(opts options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "extproc-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, dir, opts)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := show(ctx, s.bare, s.listen); err != nil {
		return fmt.Errorf("%w\nlog of extproc:\n%s", err, s.extproc.Log())
	}
	if opts.once {
		return nil
	}
	fmt.Printf("\nTry it, with and without the plugin (Ctrl-C ends):\n  curl -i 'http://%s%s' -H 'x-secret: hunter2'\n  curl -i 'http://%s%s' -H 'x-secret: hunter2'\n",
		s.listen, path, s.bare, path)
	return s.wait(ctx)
}
