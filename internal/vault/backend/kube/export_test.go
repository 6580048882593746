package kube

// Read reads an answer.
var Read = read
