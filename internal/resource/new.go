package resource

// New makes an empty resource of a kind, to decode into; nil for an unknown one.
func New(k Kind) Resource {
	switch k {
	case KindTeam:
		return new(Team)
	case KindIntegration:
		return new(Integration)
	case KindConnection:
		return new(Connection)
	case KindWorker:
		return new(Worker)
	case KindMission:
		return new(Mission)
	case KindPolicy:
		return new(Policy)
	case KindChannel:
		return new(Channel)
	}
	return nil
}

// Change is what an apply did, or would do, to one resource.
type Change struct {
	Kind     Kind   `json:"kind"`
	Name     string `json:"name"`
	Change   string `json:"change"` // created, changed, unchanged, removed
	Revision int64  `json:"revision,omitempty"`
	Warning  string `json:"warning,omitempty"` // what will not work as it stands
}
