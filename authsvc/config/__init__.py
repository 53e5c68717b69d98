"""Everything an operator sets: settings, limits and the catalogue of workflows, with what each value may be."""
