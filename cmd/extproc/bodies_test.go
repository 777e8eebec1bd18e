package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/extproc/extproc/plugin/buffer"
)

// TestBodies: many bodies side by side, in pieces of all sizes, each come out of their
// plugin as they should, although the memory that they came in is used again: whatever
// is given back is overwritten here.
func TestBodies(t *testing.T) {
	buffer.Spoil()
	for name, path := range bodyPlugins {
		t.Run(name, func(t *testing.T) {
			cc, err := grpc.NewClient("unix:"+servePlugin(t, path), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			out := func(b []byte) []byte { return b }
			if strings.Contains(name, "changes") {
				out = bytes.ToUpper
			}
			var side sync.WaitGroup
			for seed := range uint64(8) {
				side.Go(func() {
					random := rand.New(rand.NewPCG(seed, 0))
					for range 5 {
						if err := bodiesBothWays(t.Context(), extprocv3.NewExternalProcessorClient(cc), random, out); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			side.Wait()
		})
	}
}

// bodiesBothWays has an exchange of random bodies.
func bodiesBothWays(ctx context.Context, client extprocv3.ExternalProcessorClient, random *rand.Rand, out func([]byte) []byte) error {
	stream, err := client.Process(ctx)
	if err != nil {
		return err
	}
	for _, request := range []bool{true, false} {
		body := bytes.Repeat([]byte{byte('a' + random.IntN(26)), byte('a' + random.IntN(26)), '-'}, random.IntN(200<<10))
		for i := 0; i < len(body); i += 1 + random.IntN(5000) { // or what is in the wrong place would not show
			body[i] = byte('a' + random.IntN(26))
		}
		got, err := bodyThrough(stream, request, body, random)
		if err != nil {
			return err
		}
		if want := out(body); !bytes.Equal(got, want) {
			return fmt.Errorf("another body came back: %d bytes of %d", len(got), len(want))
		}
	}
	return stream.CloseSend()
}

// bodyThrough sends a message with a body and returns the body that comes of it.
func bodyThrough(stream extprocv3.ExternalProcessor_ProcessClient, request bool, body []byte, random *rand.Rand) (got []byte, err error) {
	headers := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headersOf(false, ":status", "200")}}
	if request {
		headers = &extprocv3.ProcessingRequest{
			Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headersOf(false,
				":authority", "a.test", ":path", "/", ":method", "POST", ":scheme", "https", "content-length", fmt.Sprint(len(body)))},
			ProtocolConfig: &extprocv3.ProtocolConfiguration{},
		}
	}
	if err := stream.Send(headers); err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() { sent <- sendPieces(stream, request, body, random) }()
	for end := false; !end; {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		part := answer.GetResponseBody()
		if request {
			part = answer.GetRequestBody()
		}
		piece := part.GetResponse().GetBodyMutation().GetStreamedResponse()
		got, end = append(got, piece.GetBody()...), piece.GetEndOfStream()
	}
	return got, <-sent
}

func sendPieces(stream extprocv3.ExternalProcessor_ProcessClient, request bool, body []byte, random *rand.Rand) error {
	for end := false; !end; {
		n := min(random.IntN(1<<random.IntN(19)), len(body))
		piece := &extprocv3.HttpBody{Body: body[:n], EndOfStream: n == len(body)}
		body, end = body[n:], piece.GetEndOfStream()
		m := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: piece}}
		if request {
			m = &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: piece}}
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}
