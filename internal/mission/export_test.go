package mission

// Cut and SplitReason read what a model wrote.
var (
	Cut         = cut
	SplitReason = splitReason
)

// Readable is what a model reads of a result's body.
var Readable = readable
