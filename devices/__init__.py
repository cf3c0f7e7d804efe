"""How a candidate behaves on hardware: agent, connections, runner, readiness and statistics."""
