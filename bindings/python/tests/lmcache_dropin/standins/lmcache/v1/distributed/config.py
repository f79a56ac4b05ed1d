def get_configured_capacity_bytes(level):
    return level.capacities
