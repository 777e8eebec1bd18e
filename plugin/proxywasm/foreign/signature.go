package foreign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // hash functions of signatures
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
}

// VerifySignature takes a VerifySignatureArguments and answers a
// VerifySignatureResult. RSA signatures are those of PKCS #1 v1.5, ECDSA ones in
// ASN.1. The only error is ErrArgument: a signature that is wrong, a hash
// function or key that can't be used are told in the result, in Envoy's words.
func VerifySignature(args []byte) ([]byte, error) {
	var hash, text string
	var key, signature, message []byte
	if err := decode(args, slots{1: &hash, 2: &key, 3: &signature, 4: &message, 5: &text}); err != nil {
		return nil, err
	}
	der, err := keyOf(key, text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	problem := verify(hash, der, signature, message)
	result := appendBool(nil, 1, problem == "")
	return appendBytes(result, 2, []byte(problem)), nil
}

func verify(hash string, der, signature, message []byte) (problem string) {
	function, digest := digestOf(hash, message)
	if function == 0 {
		return hash + " is not supported."
	}
	const wrong = "Failed to verify digest. Error code: 0"
	public, _ := x509.ParsePKIXPublicKey(der)
	switch key := public.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, function, digest, signature) != nil {
			return wrong
		}
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, digest, signature) {
			return wrong
		}
	default: // of Ed25519 there are no signatures of digests
		return "Failed to initialize digest verify."
	}
	return ""
}

// Sign takes a SignArguments and answers a SignResult. See VerifySignature.
func Sign(args []byte) ([]byte, error) {
	var hash, text string
	var key, message []byte
	if err := decode(args, slots{1: &hash, 2: &key, 3: &message, 4: &text}); err != nil {
		return nil, err
	}
	der, err := keyOf(key, text, "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	signature, problem := sign(hash, der, message, text != "")
	result := appendBool(nil, 1, problem == "")
	return appendBytes(appendBytes(result, 2, signature), 3, []byte(problem)), nil
}

func sign(hash string, der, message []byte, anyForm bool) (signature []byte, problem string) {
	function, digest := digestOf(hash, message)
	if function == 0 {
		return nil, hash + " is not supported."
	}
	private := privateKey(der, anyForm)
	var err error
	switch key := private.(type) {
	case nil:
		return nil, "Invalid key type: private key required for signing operation."
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, key, function, digest)
	case *ecdsa.PrivateKey:
		signature, err = ecdsa.SignASN1(rand.Reader, key, digest)
	default:
		return nil, "Invalid private key: key data is corrupted or malformed."
	}
	if err != nil {
		return nil, "Failed to create signature."
	}
	return signature, ""
}

// privateKey parses PKCS #8 and, if any form will do, those of RSA and ECDSA
// themselves.
func privateKey(der []byte, anyForm bool) any {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if !anyForm {
		return nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// keyOf is a key's DER, of which there must be one, in DER or PEM. A PEM that is
// none yields a DER that is none.
func keyOf(der []byte, text string, kinds ...string) ([]byte, error) {
	if (len(der) > 0) == (text != "") {
		return nil, fmt.Errorf("%w: not one key", ErrArgument)
	}
	if text == "" {
		return der, nil
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil
		}
		for _, kind := range kinds {
			if block.Type == kind {
				return block.Bytes, nil
			}
		}
	}
}

func digestOf(hash string, message []byte) (crypto.Hash, []byte) {
	function := hashes[strings.ToLower(hash)]
	if function == 0 {
		return 0, nil
	}
	h := function.New()
	h.Write(message)
	return function, h.Sum(nil)
}
