package vaultlease

// Read reads an answer of an engine.
var Read = read
