// Package natsstore keeps what guests share in NATS JetStream: data in key-value
// buckets, queues in streams with work-queue consumers.
//
// For each space there is a bucket "<prefix>_<space>" and a stream
// "<prefix>_queues_<space>", made when they are first used.
package natsstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// store is a connection to NATS and what was found there.
type store struct {
	*host.Link
	config     plugin.Store
	conn       *nats.Conn
	js         jetstream.JetStream
	data       host.DataLimits
	queues     host.QueueLimits
	redelivery time.Duration
	sums       sums

	mu      sync.Mutex
	streams map[string]jetstream.Stream
	open    map[queueName]*queue
}

// Pings find a connection that is dead without having been closed.
const (
	pingInterval = 2 * time.Second
	pingsOut     = 2
)

// Open connects to NATS, or begins to if it isn't to be reached yet.
func Open(c plugin.Store, log *slog.Logger, metrics *host.StoreMetrics) (*host.Store, error) {
	c.Prefix = cmp.Or(c.Prefix, plugin.DefaultStorePrefix)
	timeout := cmp.Or(c.Timeout, plugin.DefaultStoreTimeout)
	s := &store{
		config: c, data: host.DataLimitsOf(c), queues: host.QueueLimitsOf(c),
		redelivery: cmp.Or(c.Redelivery, plugin.DefaultStoreRedelivery), streams: map[string]jetstream.Stream{}, open: map[queueName]*queue{},
	}
	options, err := s.options(timeout)
	if err != nil {
		return nil, err
	}
	if s.conn, err = nats.Connect(c.URL, options...); err != nil {
		return nil, fmt.Errorf("store %s: %w", c.URL, err)
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(timeout)); err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("store %s: %w", c.URL, err)
	}
	link := host.NewLink("nats", timeout, s.ping, log.With("url", c.URL), metrics)
	s.mu.Lock()
	s.Link = link
	s.mu.Unlock()
	return &host.Store{Data: (*data)(s), Queues: (*queues)(s), Timeout: timeout, Close: s.close}, nil
}

func (s *store) options(timeout time.Duration) ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name("extproc"),
		nats.Timeout(timeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(50*time.Millisecond<<min(attempts, 7), 5*time.Second)
		}),
		// What can't be sent now fails now: later it might do what nobody expects any
		// more.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { s.disconnected(err) }),
		nats.ConnectHandler(func(*nats.Conn) { s.remind() }),
		nats.ReconnectHandler(func(*nats.Conn) { s.remind() }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // calls fail with it too
	}
	c := s.config
	switch {
	case c.Username != "" && c.Password != "":
		options = append(options, nats.UserInfo(c.Username, c.Password))
	case c.Username != "" || c.Password != "": // as in nats://token@host
		options = append(options, nats.Token(c.Username+c.Password))
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentialBytes([]byte(c.Credentials)))
	}
	if c.TLS != (plugin.TLS{}) {
		config, err := c.TLS.Client()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(config))
	}
	return options, nil
}

// disconnected ends the calls that wait. The connection may be lost before Open has
// made the link.
func (s *store) disconnected(err error) {
	s.mu.Lock()
	link := s.Link
	s.mu.Unlock()
	if link != nil {
		link.Disconnected(cmp.Or(err, nats.ErrDisconnected))
	}
}

func (s *store) close() error {
	s.Link.Close()
	s.conn.Close()
	return nil
}

// ping asks whether JetStream is there, which a connection alone doesn't say.
func (s *store) ping(ctx context.Context) error {
	_, err := s.js.AccountInfo(ctx)
	return err
}

// call makes a call of a stream, which is looked for or made if need be.
func (s *store) call(ctx context.Context, operation string, c jetstream.StreamConfig, f func(context.Context, jetstream.Stream) error) error {
	return s.Do(ctx, operation, func(ctx context.Context) error {
		st, err := s.stream(ctx, c)
		if err != nil {
			return answer(err)
		}
		err = f(ctx, st)
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) {
			s.mu.Lock()
			delete(s.streams, c.Name) // somebody may have removed it: look again next time
			s.mu.Unlock()
		}
		return answer(err)
	})
}

// stream finds or makes a stream.
func (s *store) stream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	s.mu.Lock()
	st := s.streams[c.Name]
	s.mu.Unlock()
	if st != nil {
		return st, nil
	}
	st, err := s.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.Replicas, c.Storage = max(s.config.Replicas, 1), jetstream.FileStorage
		// Sequence numbers are revisions: those of a stream that was removed must not
		// come again in the next of its name.
		if c.Retention == jetstream.LimitsPolicy {
			c.FirstSeq = uint64(time.Now().UnixMicro())
		}
		st, err = s.js.CreateStream(ctx, c)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another replica was faster
			st, err = s.js.Stream(ctx, c.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := fits(&st.CachedInfo().Config, &c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[c.Name] = st
	return st, nil
}

// fits checks what must be so for right answers in a stream that somebody else has
// made. Its limits are up to them.
func fits(have, want *jetstream.StreamConfig) error {
	if have.Retention != want.Retention || have.AllowMsgTTL != want.AllowMsgTTL || have.AllowDirect || have.DenyDelete != want.DenyDelete ||
		have.MaxMsgsPerSubject != want.MaxMsgsPerSubject && want.Retention == jetstream.LimitsPolicy {
		return fmt.Errorf("%w: the stream %s has other settings than extproc's; expected retention %s, allow_msg_ttl %t, deny_delete false, allow_direct false",
			host.ErrUnavailable, want.Name, want.Retention, want.AllowMsgTTL)
	}
	return nil
}

// Codes of errors of the server that the client has no names for.
const (
	codeNoResources   = 10023
	codeNoMemory      = 10028
	codeNoSequence    = 10043
	codeNoStorage     = 10047
	codeDeleteFailed  = 10057
	codeStoreFailed   = 10077
	codeWrongSequence = 10164 // of streams with replicas
)

// answer maps what the server has answered to what it means. Errors that are no
// answers stay as they are.
func answer(err error) error {
	var api jetstream.JetStreamError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: larger than NATS takes", host.ErrFull)
	case errors.As(err, &api) && api.APIError() != nil:
		return answered(api.APIError())
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: %w", host.ErrUnavailable, err)
	}
	return err
}

func answered(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case jetstream.JSErrCodeMessageNotFound, jetstream.JSErrCodeConsumerNotFound, jetstream.JSErrCodeStreamNotFound, jetstream.JSErrCodeConsumerDoesNotExist:
		return host.ErrNotFound
	case jetstream.JSErrCodeStreamWrongLastSequence, codeWrongSequence, codeNoSequence, codeDeleteFailed:
		return host.ErrCasMismatch
	case jetstream.JSErrCodeMaximumConsumersLimit:
		return host.ErrTooMany
	case codeStoreFailed, codeNoResources, codeNoMemory, codeNoStorage, jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", host.ErrFull, e)
	}
	return fmt.Errorf("%w: %w", host.ErrUnavailable, e)
}

// atMost is a limit as streams have it.
func atMost(n int) int64 { return min(int64(n), math.MaxInt32) }
