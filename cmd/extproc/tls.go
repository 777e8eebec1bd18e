package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
)

// tlsFlags say how the ext_proc service is secured.
type tlsFlags struct {
	secure        bool
	cert, key, ca string
}

func (f *tlsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.secure, "secure-serving", false, "serve ext_proc over TLS")
	flags.StringVar(&f.cert, "tls-cert-file", "", "the server's certificate, PEM; read again when it changes")
	flags.StringVar(&f.key, "tls-private-key-file", "", "its key, PEM")
	flags.StringVar(&f.ca, "tls-client-ca-file", "", "the authorities that clients' certificates must be signed by, PEM; empty to ask for none")
}

// certRefresh is how often the files are looked at.
const certRefresh = time.Second

// config secures the service; nil if it is not to be.
func (f *tlsFlags) config() (*tls.Config, func(), error) {
	switch {
	case !f.secure && f.cert+f.key+f.ca != "":
		return nil, nil, errors.New("--tls-cert-file, --tls-private-key-file and --tls-client-ca-file are of use with --secure-serving only")
	case !f.secure:
		return nil, func() {}, nil
	case f.cert == "" || f.key == "":
		return nil, nil, errors.New("--secure-serving: expected --tls-cert-file and --tls-private-key-file")
	}
	// The library goes on with the old certificate while the new one is no good; at
	// the start there is none.
	if _, err := tls.LoadX509KeyPair(f.cert, f.key); err != nil {
		return nil, nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file: %w", err)
	}
	if f.ca != "" {
		if _, err := os.ReadFile(f.ca); err != nil {
			return nil, nil, fmt.Errorf("--tls-client-ca-file: %w", err)
		}
	}
	provider, err := pemfile.NewProvider(pemfile.Options{CertFile: f.cert, KeyFile: f.key, RootFile: f.ca, RefreshDuration: certRefresh})
	if err != nil {
		return nil, nil, fmt.Errorf("--secure-serving: %w", err)
	}
	if _, err := provider.KeyMaterial(context.Background()); err != nil {
		provider.Close()
		return nil, nil, fmt.Errorf("--secure-serving: %w", err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			material, err := provider.KeyMaterial(hello.Context())
			if err != nil {
				return nil, err
			}
			c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: material.Certs}
			if f.ca != "" {
				c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, material.Roots
			}
			return c, nil
		},
	}
	return config, provider.Close, nil
}
