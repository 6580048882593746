package mission

// Cut and SplitReason read what a model wrote.
var (
	Cut         = cut
	SplitReason = splitReason
)
