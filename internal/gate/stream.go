package gate

import (
	"encoding/json"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/deltas"
)

// streamed scrubs an answer that is a stream of events, kept as one text: what
// its events say together is a whole text too. Of any other it gives the body as
// it is.
func streamed(set *scrub.Set, a connector.Answer) (json.RawMessage, scrub.Report) {
	var text string
	if !deltas.Takes(a.Type) || json.Unmarshal(a.Body, &text) != nil {
		return a.Body, scrub.Report{}
	}
	out, rep := deltas.Bytes(set, a.Type, []byte(text))
	if !rep.Found() && string(out) == text {
		return a.Body, scrub.Report{}
	}
	body, err := json.Marshal(string(out))
	if err != nil {
		return nil, rep // a string always can be encoded
	}
	return body, rep
}
