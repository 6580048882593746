package sqlite

import (
	"context"
	"encoding/json"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// originsText is a Decision's origins as its row has them; "" for none.
func originsText(d decision.Decision) (string, error) {
	if d.Origins == nil {
		return "", nil
	}
	return encode(d.Origins)
}

func readOrigins(x *row, d *decision.Decision) error {
	s := x.text("origins")
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), &d.Origins); err != nil {
		return fault.Wrap(fault.Internal, "reading where a Decision's arguments come from", err)
	}
	return nil
}

// answered are a Run's Intents that its Worker was told something about, but for
// those of its model: what that said is the Worker's own.
const answered = "tenant = $1 AND run = $2 AND connection <> $3 AND (result IS NOT NULL OR state = 'REJECTED')"

// Answered lists a Run's Intents that its Worker has an answer to, in the order of
// the answers, but for those of the Connection except: the last ones, with at most
// so many bytes of answers. all says whether these are all there are.
func (s *Store) Answered(ctx context.Context, tenant ident.Tenant, run, except string, most int) (its []intent.Intent, all bool, err error) {
	err = s.read(ctx, func(r *reader) error {
		its = nil
		rows, err := r.good(tbIntent, `WHERE tenant = $1 AND id IN (SELECT id FROM (SELECT id,
			sum(octet_length(coalesce(result, why)) + 256) OVER (ORDER BY updated_at DESC, id DESC) AS total FROM intent WHERE `+answered+`) WHERE total <= $4)
			ORDER BY updated_at, id`, tenant, run, except, most)
		if err != nil {
			return err
		}
		for _, x := range rows {
			it, err := intentOf(x)
			if err != nil {
				return err
			}
			its = append(its, it)
		}
		there, err := r.scan(tbIntent, "WHERE "+answered+" ORDER BY updated_at, id LIMIT 1", tenant, run, except)
		if err != nil {
			return err
		}
		// The oldest is among them, or there was no room for it.
		all = len(there) == 0 || slices.ContainsFunc(its, func(it intent.Intent) bool { return it.ID == there[0].text("id") })
		return nil
	})
	return its, all, err
}
