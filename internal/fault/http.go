package fault

import "net/http"

// HTTP is the status that a kind has at the edges that speak HTTP, the API and
// the console, and what it is called there: the mapping is here and nowhere else.
func (k Kind) HTTP() (status int, title string) {
	switch k {
	case Invalid:
		return http.StatusBadRequest, "The request is not valid"
	case Unauthenticated:
		return http.StatusUnauthorized, "Sign in first"
	case Denied:
		return http.StatusForbidden, "Not allowed"
	case NotFound:
		return http.StatusNotFound, "Not found"
	case Conflict:
		return http.StatusConflict, "It has changed, or was done already"
	case Pending:
		return http.StatusAccepted, "It waits for a Decision"
	case Limit:
		return http.StatusTooManyRequests, "A limit is reached"
	case Unavailable:
		return http.StatusServiceUnavailable, "Not available now"
	case Unknown:
		return http.StatusBadGateway, "The outcome is not known"
	case Internal:
	}
	return http.StatusInternalServerError, "Something went wrong here"
}
