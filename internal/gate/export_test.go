package gate

// Pointer is tested by itself: what it finds says whether a write was applied.
var Pointer = pointer
