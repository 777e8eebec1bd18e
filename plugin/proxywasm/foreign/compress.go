package foreign

import (
	"bytes"
	"compress/zlib"
	"io"
)

// maxUncompressed is how many bytes a guest may get out of compressed ones.
const maxUncompressed = 64 << 20

// Compress answers the bytes in zlib's format (RFC 1950).
func Compress(args []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, err := w.Write(args)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, ErrSerialization
	}
	return out.Bytes(), nil
}

// Uncompress is the opposite. What follows the compressed bytes is left out. The
// error is ErrSerialization, also if too much would come out.
func Uncompress(args []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(args))
	if err != nil {
		return nil, ErrSerialization
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUncompressed+1))
	if err != nil || len(out) > maxUncompressed {
		return nil, ErrSerialization
	}
	return out, nil
}
