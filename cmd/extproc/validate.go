package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/extproc/extproc/plugin"
)

func validateCommand() *cobra.Command {
	var config, cache string
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Load everything that a configuration names and say what was found",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPlugins(cmd.Context(), config, cache, func(set *plugin.Set) error {
				for _, p := range set.Plugins {
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s: ok\n", p.Spec.Name, p.Spec.URL); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &config)
	cacheFlag(cmd, &cache)
	return cmd
}

// withPlugins loads the plugins of a configuration, without a log, for as long as
// use runs.
func withPlugins(ctx context.Context, config, cache string, use func(*plugin.Set) error) (err error) {
	abis, free, err := guests(ctx, guestOptions{cache: cache})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, free(ctx)) }()
	c, err := plugin.ReadConfig(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, spec := range c.Plugins {
		spec.Store = plugin.Store{} // it need not be within reach
	}
	set, err := plugin.LoadSet(ctx, c, abis, nil)
	if err != nil {
		return err
	}
	return errors.Join(use(set), set.Release())
}
