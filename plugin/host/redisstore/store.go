// Package redisstore keeps the data that guests share in Redis. Queues stay in this
// process's memory.
package redisstore

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// store is the way to a Redis.
type store struct {
	*host.Link
	client *redis.Client
	prefix string
	limits host.DataLimits
}

// maxValue is how large a value may be. Redis itself takes 512 MiB.
const maxValue = 1 << 20

// Open makes the way to a Redis, which need not be reachable yet.
func Open(c plugin.Store, log *slog.Logger, metrics *host.StoreMetrics) (*host.Store, error) {
	options, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", c.URL, err)
	}
	if c.TLS != (plugin.TLS{}) {
		server := options.TLSConfig.ServerName
		if options.TLSConfig, err = c.TLS.Client(); err != nil {
			return nil, fmt.Errorf("store %s: %w", c.URL, err)
		}
		options.TLSConfig.ServerName = cmp.Or(options.TLSConfig.ServerName, server)
	}
	timeout := cmp.Or(c.Timeout, plugin.DefaultStoreTimeout)
	options.Username, options.Password, options.ClientName = c.Username, c.Password, "extproc"
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = timeout, timeout, timeout, timeout
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1 // what was sent may have been done: to add it again would be wrong
	s := &store{client: redis.NewClient(options), prefix: cmp.Or(c.Prefix, plugin.DefaultStorePrefix), limits: host.DataLimitsOf(c)}
	log = log.With("url", c.URL)
	s.Link = host.NewLink("redis", timeout, func(ctx context.Context) error { return s.client.Ping(ctx).Err() }, log, metrics)
	log.Warn("with Redis only data is shared with other replicas: queues stay in this process's memory", "store", "redis")
	return &host.Store{Data: s, Queues: host.NewMemoryQueues(host.QueueLimitsOf(c)), Timeout: timeout, Close: s.close}, nil
}

func (s *store) close() error {
	s.Link.Close()
	return s.client.Close()
}

// Bucket implements host.Data.
func (s *store) Bucket(space string, lifetime time.Duration) host.Bucket {
	return &bucket{store: s, prefix: s.prefix + ":{" + spaceName(space) + "}:", lifetime: lifetime}
}

// spaceName is a space in names of Redis: in hexadecimal digits, unless it is of
// letters, digits, "-" and "_" only and doesn't look like that.
func spaceName(space string) string {
	plain := strings.Trim(space, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
	if plain && space != "" {
		return space
	}
	return "." + hex.EncodeToString([]byte(space))
}

// Forget implements host.Data. Other replicas may use the space.
func (*store) Forget(string) {}

type bucket struct {
	*store
	prefix   string
	lifetime time.Duration
}

// Get implements host.Bucket.
func (b *bucket) Get(ctx context.Context, key string) (host.Entry, error) {
	var e host.Entry
	err := b.Do(ctx, "get", func(ctx context.Context) error {
		found, err := b.client.HMGet(ctx, b.prefix+"k:"+key, "v", "r").Result()
		if err != nil {
			return answer(err)
		}
		value, ok := found[0].(string)
		if !ok {
			return host.ErrNotFound
		}
		revision, _ := found[1].(string)
		e.Value = []byte(value)
		if e.Revision, err = strconv.ParseUint(revision, 10, 64); err != nil || e.Revision == 0 {
			return fmt.Errorf("%w: a value with the revision %q, expected a number", host.ErrUnavailable, revision)
		}
		return nil
	})
	return e, err
}

// Put implements host.Bucket.
func (b *bucket) Put(ctx context.Context, key string, value []byte, on host.Condition) error {
	if err := host.CheckKey(key); err != nil {
		return err
	}
	if len(value) > maxValue {
		return fmt.Errorf("%w: a value of %d bytes, expected at most %d", host.ErrFull, len(value), maxValue)
	}
	_, err := b.run(ctx, "put", put, key, value, revision(on), b.lifetime.Milliseconds(), b.limits.Entries)
	return err
}

// revision is a condition as scripts read it.
func revision(on host.Condition) string {
	if on == host.Absent {
		return "absent"
	}
	return strconv.FormatUint(uint64(on), 10)
}

// Remove implements host.Bucket.
func (b *bucket) Remove(ctx context.Context, key string, on host.Condition) error {
	_, err := b.run(ctx, "remove", remove, key, revision(on))
	return err
}

// Add implements host.Bucket.
func (b *bucket) Add(ctx context.Context, key string, by int64) (int64, error) {
	if err := host.CheckKey(key); err != nil {
		return 0, err
	}
	sum, err := b.run(ctx, "add", add, key, by, b.lifetime.Milliseconds(), b.limits.Entries)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(sum, 10, 64)
}

// results are the errors for what scripts answer.
var results = map[string]error{
	"ok": nil, "absent": host.ErrNotFound, "mismatch": host.ErrCasMismatch, "full": host.ErrFull, "no number": host.ErrBadArgument,
}

// run runs a script. What it answers is an error's word, or else its result.
func (b *bucket) run(ctx context.Context, operation string, script *redis.Script, args ...any) (result string, err error) {
	err = b.Do(ctx, operation, func(ctx context.Context) error {
		var err error
		if result, err = script.Run(ctx, b.client, []string{b.prefix}, args...).Text(); err != nil {
			return answer(err)
		}
		return results[result]
	})
	return result, err
}

// Keys implements host.Bucket.
func (b *bucket) Keys(ctx context.Context, from string, most int) ([]string, error) {
	var found []string
	err := b.Do(ctx, "keys", func(ctx context.Context) (err error) {
		found, err = keys.Run(ctx, b.client, []string{b.prefix}, from, most).StringSlice()
		return answer(err)
	})
	return found, err
}

// answer maps what Redis has answered to what it means. Errors that are no answers
// stay as they are.
func answer(err error) error {
	var said redis.Error
	switch {
	case err == nil || !errors.As(err, &said):
		return err
	case strings.HasPrefix(said.Error(), "OOM "):
		return fmt.Errorf("%w: %w", host.ErrFull, err)
	case strings.HasPrefix(said.Error(), "LOADING "), strings.HasPrefix(said.Error(), "MASTERDOWN "):
		return err // it isn't there yet
	}
	return fmt.Errorf("%w: %w", host.ErrUnavailable, err)
}
