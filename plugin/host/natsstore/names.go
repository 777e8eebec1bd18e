package natsstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const digits = "0123456789ABCDEF"

// key encodes a key of any bytes as one of NATS's key-value buckets: what stands
// for itself there does so here too, and "=" begins two hexadecimal digits. Keys
// of buckets have no empty parts, so that "." never stands for itself; "=" alone is
// the empty key.
func key(k string) string {
	if k == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(k) {
		c := k[i]
		if c == '-' || c == '_' || c == '/' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// unkey is the key that an encoded one stands for, if there is one.
func unkey(encoded string) (string, bool) {
	if encoded == "=" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		if c == '=' {
			if i+2 >= len(encoded) {
				return "", false
			}
			high, low := strings.IndexByte(digits, encoded[i+1]), strings.IndexByte(digits, encoded[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), key(b.String()) == encoded
}

// longestName is how long the name of a stream or consumer may become.
const longestName = 100

// name encodes the name of a space or queue as part of the name of a stream or
// consumer, which may become the name of a file: "_" begins two hexadecimal digits,
// and capital letters are encoded too. What would be too long is its digest, behind
// "__", which no other name begins with.
func name(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('_')
		b.WriteString(strings.ToLower(string([]byte{digits[c>>4], digits[c&15]})))
	}
	switch {
	case s == "":
		return "_"
	case b.Len() > longestName:
		sum := sha256.Sum256([]byte(s))
		return "__" + hex.EncodeToString(sum[:])
	}
	return b.String()
}
