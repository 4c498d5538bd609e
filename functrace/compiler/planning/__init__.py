"""Programs -> groups and places: views resolved, operations fused, loops ordered, memory shared."""
