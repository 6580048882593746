package jsonrpc

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// AppendRequest appends a request, or where id is zero a notification. params is a
// JSON object, or empty.
func AppendRequest(b []byte, id ID, method string, params []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0"`...)
	if !id.IsZero() {
		b = append(append(b, `,"id":`...), id.text...)
	}
	b = append(b, `,"method":`...)
	b = AppendString(b, method)
	if len(params) > 0 {
		b = append(append(b, `,"params":`...), params...)
	}
	return append(b, '}')
}

// AppendResult appends the answer to id with a result, which is JSON.
func AppendResult(b []byte, id ID, result []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = appendID(b, id)
	b = append(append(b, `,"result":`...), result...)
	return append(b, '}')
}

// AppendError appends the answer to id with an error; a zero id is written as null.
func AppendError(b []byte, id ID, e Error) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = appendID(b, id)
	b = append(b, `,"error":{"code":`...)
	b = strconv.AppendInt(b, e.Code, 10)
	b = append(b, `,"message":`...)
	b = AppendString(b, e.Message)
	if len(e.Data) > 0 {
		b = append(append(b, `,"data":`...), e.Data...)
	}
	return append(b, '}', '}')
}

func appendID(b []byte, id ID) []byte {
	if id.IsZero() {
		return append(b, "null"...)
	}
	return append(b, id.text...)
}

// AppendString appends s as a JSON string, on one line.
func AppendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can't fail
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
