// Command serve runs the tests' upstream by itself, for docker-compose.yaml.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/extproc/extproc/internal/upstream"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "the `address` to serve on")
	flag.Parse()
	if err := run(*address); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := upstream.Start(ctx, address)
	if err != nil {
		return err
	}
	fmt.Println("serving on", server.Address)
	<-ctx.Done()
	return server.Close()
}
